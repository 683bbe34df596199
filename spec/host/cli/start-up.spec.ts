import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { commandFile, packageRoot } from '../../../src/common/package-root.js';

/** As compiled, a file for each of ours, which tell what a call needs; `commandFile` is made of these. */
const COMPILED = join(packageRoot(), 'dist', 'src', 'host', 'cli', 'main.js');
const inDataUrl = (source: string): string => `data:text/javascript,${encodeURIComponent(source)}`;
/** Says the address of each module that is loaded from a file, on standard error. */
const HOOKS = inDataUrl(`import { writeSync } from 'node:fs';
export const load = (url, context, next) => {
  if (url.startsWith('file:')) writeSync(2, url + '\\n');
  return next(url, context);
};`);
const PROBE = inDataUrl(`import { register } from 'node:module'; register(${JSON.stringify(HOOKS)});`);

/** A host that imports the package and opens a client. Port 1: nobody answers there. */
const OPENING = `
  import plugin from ${JSON.stringify(pathToFileURL(join(packageRoot(), 'dist', 'src', 'index.js')).href)};
  const logger = { child: () => logger, error() {}, warn() {}, info() {}, debug() {} };
  const { sources } = await plugin.activate({ logger, hostId: 'spec', resolveSecret: async () => 'x' });
  const settings = { url: 'https://127.0.0.1:1', username: 'root', password: 'env:X' };
  const refused = await sources[0].open({ name: 'spec', settings }).catch(({ code }) => code);
  if (refused !== 'SOURCE_UNREACHABLE') throw new Error(String(refused));
`;

/** What a call loads: our own files, and the names of packages. */
function loadedBy(
  args: readonly string[],
  { main = [COMPILED], exitCode = 0 }: { main?: readonly string[]; exitCode?: number } = {},
): { readonly own: readonly string[]; readonly packages: ReadonlySet<string> } {
  const env = { ...process.env, XEN_BACKUP_USERNAME: 'root', XEN_BACKUP_PASSWORD: 'x' };
  const { stderr, status } = spawnSync(process.execPath, ['--import', PROBE, ...main, ...args], {
    encoding: 'utf8',
    env,
  });
  expect(status, stderr).to.equal(exitCode);
  const urls = stderr.split('\n').filter((line) => line.startsWith('file:'));
  const root = pathToFileURL(packageRoot()).href;
  const packages = urls.flatMap((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []);
  return {
    own: urls.filter((url) => url.startsWith(root) && !url.includes('/node_modules/')),
    packages: new Set(packages),
  };
}

describe('start of the command line', function () {
  this.timeout(120_000);

  it('loads commander and a handful of files for --version and for the list of commands', () => {
    for (const option of ['--version', '--help']) {
      const { own, packages } = loadedBy([option]);
      expect([...packages], option).to.deep.equal(['commander']);
      expect(own.length, own.join('\n')).to.be.within(1, 8);
    }
  });

  it('loads neither plugin nor simulator to say what a command can do', () => {
    const { own } = loadedBy(['help', 'backup']);
    expect(own.some((url) => url.endsWith('/backup-command.js'))).to.equal(true);
    expect(own.filter((url) => /\/src\/(plugin|provider|session|xapi|simulator)\//.test(url))).to.deep.equal([]);
  });

  it('loads of xen-api no more than how it speaks: not what has another licence', () => {
    const { packages } = loadedBy([], { main: ['--input-type=module', '--eval', OPENING] });
    expect([...packages]).to.include('xen-api');
    for (const name of ['xo-collection', 'xo-common', 'cli-progress', 'selfsigned']) {
      expect(packages.has(name), name).to.equal(false);
    }
    // What the command loads is put together of files of these packages.
    const { own } = loadedBy(['browse', '--url', 'https://127.0.0.1:1'], { main: [commandFile()], exitCode: 1 });
    expect(own.filter((url) => url.endsWith('/bundle/plugin.js'))).to.have.length(1);
    const bundled = readFileSync(join(packageRoot(), 'dist', 'bundle', 'LICENSES.txt'), 'utf8');
    expect(bundled).to.match(/^== xen-api /m);
    for (const name of ['xo-collection', 'xo-common']) expect(bundled).to.not.include(`== ${name} `);
  });

  it('opens a handful of files and no package, where those that were put together are hundreds', () => {
    for (const [args, exitCode, most] of [
      [['--version'], 0, 8],
      [['list', '--repository', join(packageRoot(), 'dist')], 2, 25],
      [['browse', '--url', 'https://127.0.0.1:1'], 1, 35],
    ] as const) {
      const { own, packages } = loadedBy(args, { main: [commandFile()], exitCode });
      expect([...packages], args[0]).to.deep.equal([]);
      expect(own.length, own.join('\n')).to.be.within(2, most);
      expect(own.filter((url) => url.includes('/simulator'))).to.deep.equal([]);
    }
  });
});
