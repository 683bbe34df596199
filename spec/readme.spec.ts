import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandFile, packageRoot } from '../src/common/package-root.js';
import { readConfigFile } from '../src/host/config-file.js';

interface Block {
  readonly info: string;
  readonly text: string;
}

const MAIN = commandFile();

async function blocks(): Promise<readonly Block[]> {
  const text = await readFile(join(packageRoot(), 'README.md'), 'utf8');
  return [...text.matchAll(/^```(\w+(?: \w+)?)\n(.*?)^```$/gms)].map(([, info = '', body = '']) => ({
    info,
    text: body,
  }));
}

/** Runs shell text as a reader of the README would, with `npx xen-backup` being this build. */
function shell(
  text: string,
  folder: string,
  environment: NodeJS.ProcessEnv,
): Promise<{ code: number | null; output: string }> {
  const script = `set -e; npx() { shift; "${process.execPath}" "${MAIN}" "$@"; }\n${text}`;
  return new Promise((resolve, reject) => {
    const child = spawn('bash', ['-c', script], { cwd: folder, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ code, output });
    });
  });
}

/** Starts the pool as the README says, and takes over the export lines that it prints. */
async function startPool(): Promise<{ child: ChildProcess; environment: Record<string, string> }> {
  const child = spawn(process.execPath, [MAIN, 'simulate'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const printed = await new Promise<string>((resolve, reject) => {
    let text = '';
    child.once('exit', reject);
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (/XEN_BACKUP_REPOSITORY=\S+\n/.test(text)) resolve(text);
    });
  });
  const pairs = [...printed.matchAll(/(XEN_BACKUP_\w+)=(\S+)/g)];
  return { child, environment: Object.fromEntries(pairs.map(([, key = '', value = '']) => [key, value])) };
}

describe('README', function () {
  this.timeout(300_000);
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'readme-'));
  });

  after(() => rm(folder, { recursive: true }));

  it('takes a new user from nothing to a restored VM, command by command', async () => {
    const { child, environment } = await startPool();
    const ended = new Promise((resolve) => child.once('exit', resolve));
    try {
      const commands = (await blocks())
        .filter(({ info }) => info === 'sh')
        .flatMap(({ text }) => text.trim().split('\n'));
      expect(commands.length).to.be.greaterThan(8);
      const where = { ...process.env, ...environment, XEN_BACKUP_REPOSITORY: join(folder, 'repository') };
      for (const command of commands) {
        const { code, output } = await shell(command, folder, where);
        expect(code, `${command}\n${output}`).to.be.oneOf([0, 3]);
      }
      const { output } = await shell('npx xen-backup browse vm/', folder, where);
      expect(output).to.include('web-01-copy');
    } finally {
      child.kill('SIGTERM');
      await ended;
    }
  });

  it('shows a configuration that is valid', async () => {
    const shown = (await blocks()).filter(({ info }) => info === 'json config');
    expect(shown).to.have.length(1);
    const path = join(folder, 'shown.json');
    await writeFile(path, shown[0]?.text ?? '');
    expect(Object.keys((await readConfigFile(path)).clients)).to.deep.equal(['pool-1']);
  });

  it('names only npm scripts that exist', async () => {
    const text = await readFile(join(packageRoot(), 'README.md'), 'utf8');
    const { scripts } = JSON.parse(await readFile(join(packageRoot(), 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = [...text.matchAll(/npm (?:run )?(test\b[:\w]*|demo|lint|coverage|bench)/g)].map(
      ([, name = '']) => name,
    );
    expect(named.length).to.be.greaterThan(5);
    for (const name of named) expect(Object.keys(scripts), name).to.include(name);
  });
});
