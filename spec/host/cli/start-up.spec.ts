import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../../../src/common/package-root.js';

const MAIN = join(import.meta.dirname, '..', '..', '..', 'src', 'host', 'cli', 'main.js');
const inDataUrl = (source: string): string => `data:text/javascript,${encodeURIComponent(source)}`;
/** Says the address of each module that is loaded from a file, on standard error. */
const HOOKS = inDataUrl(`import { writeSync } from 'node:fs';
export const load = (url, context, next) => {
  if (url.startsWith('file:')) writeSync(2, url + '\\n');
  return next(url, context);
};`);
const PROBE = inDataUrl(`import { register } from 'node:module'; register(${JSON.stringify(HOOKS)});`);

/** What a call loads: our own files, and the names of packages. */
function loadedBy(
  args: readonly string[],
  exitCode = 0,
): { readonly own: readonly string[]; readonly packages: ReadonlySet<string> } {
  const env = { ...process.env, XEN_BACKUP_USERNAME: 'root', XEN_BACKUP_PASSWORD: 'x' };
  const { stderr, status } = spawnSync(process.execPath, ['--import', PROBE, MAIN, ...args], { encoding: 'utf8', env });
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
    // Port 1: nobody answers there.
    const { packages } = loadedBy(['browse', '--url', 'https://127.0.0.1:1'], 1);
    expect([...packages]).to.include('xen-api');
    for (const name of ['xo-collection', 'xo-common', 'cli-progress', 'selfsigned']) {
      expect(packages.has(name), name).to.equal(false);
    }
  });
});
