import { expect } from 'chai';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { commandFile } from '../../../src/common/package-root.js';
import { CliHarness } from '../support/cli-harness.js';
import { useTemporaryFolder } from '../support/temporary-folder.js';

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; out: string; err: string }>;
  /** Resolves as soon as standard output contains the words. */
  readonly said: (words: string) => Promise<void>;
}

function start(folder: string, args: readonly string[]): Running {
  const child = spawn(process.execPath, [commandFile(), ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const { stdout, stderr } = child;
  let heard = '';
  stdout.on('data', (chunk: Buffer) => (heard += chunk.toString()));
  const said = async (words: string): Promise<void> => {
    while (!heard.includes(words)) await once(stdout, 'data');
  };
  const ended = Promise.all([once(child, 'close'), text(stderr)]).then(([[code], err]) => ({
    code: code as number | null,
    out: heard,
    err,
  }));
  return { child, ended, said };
}

describe('the program', () => {
  const folder = useTemporaryFolder();
  const slow = { settings: { chunkDelayMs: 100, machines: [{ id: 'm', name: 'web', sizeBytes: 6_000_000 }] } };
  const savesets = (): string[] => readdirSync(join(folder(), 'repo', 'savesets'));

  it('ends with the code of the command, and keeps standard output for results', async () => {
    new CliHarness(folder());
    const good = await start(folder(), ['backup', 'web', '--json']).ended;
    expect([good.code, good.err]).to.deep.equal([0, '']);
    expect(
      good.out
        .trim()
        .split('\n')
        .map((line) => typeof JSON.parse(line)),
    ).to.not.be.empty;
    const bad = await start(folder(), ['backup', 'nobody']).ended;
    expect([bad.code, bad.out]).to.deep.equal([1, '']);
  });

  it('cancelled by SIGINT cleans up and ends with 130', async () => {
    new CliHarness(folder(), slow);
    const { child, said, ended } = start(folder(), ['backup', 'web', '--json']);
    await said('"progress"');
    child.kill('SIGINT');
    const { code, out } = await ended;
    expect(code).to.equal(130);
    expect(JSON.parse(out.trim().split('\n').at(-1)!)).to.have.nested.property('error.code', 'CANCELLED');
    expect(savesets()).to.deep.equal([]);
  });

  it('killed leaves nothing that is listed, and the next backup sweeps the rest', async () => {
    const cli = new CliHarness(folder(), slow);
    const { child, said, ended } = start(folder(), ['backup', 'web', '--json']);
    await said('"progress"');
    child.kill('SIGKILL');
    await ended;
    const [remnant] = savesets();
    expect(remnant).to.match(/^web-/);
    expect((await cli.run(['list', '--json'])).out.text).to.equal('');
    const fast = new CliHarness(folder());
    await fast.save('db');
    expect(savesets()).to.have.length(1).and.not.include(remnant);
  });

  it('goes on when the reader of its output goes away', async () => {
    new CliHarness(folder(), { settings: { chunkDelayMs: 5 } });
    const { child, said, ended } = start(folder(), ['backup', 'web', '--json']);
    await said('"progress"');
    child.stdout?.destroy();
    expect((await ended).code).to.equal(0);
    expect(savesets()).to.have.length(1);
  });
});
