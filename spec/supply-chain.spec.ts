import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { packageRoot } from '../src/common/package-root.js';

interface LockedPackage {
  readonly version: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
}

const PERMISSIVE = ['MIT', 'ISC', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'BlueOak-1.0.0'];
/** What comes with `xen-api`, which is given, and has another licence; docs/dependencies.md names each. */
const COPYLEFT = ['xo-collection', 'xo-common', 'kindof'];

const read = (...path: string[]): string => readFileSync(join(packageRoot(), ...path), 'utf8');

/** What an installation without development tools brings: path in `node_modules` and entry of the lock file. */
function runtimePackages(): readonly (readonly [string, LockedPackage])[] {
  const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, LockedPackage> };
  return Object.entries(packages).filter(([path, { dev = false }]) => path !== '' && !dev);
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

/** Names of all that a package needs, over several steps. */
function needsOf(name: string): ReadonlySet<string> {
  const byName = new Map<string, LockedPackage[]>();
  for (const [path, entry] of runtimePackages()) byName.set(nameOf(path), [...(byName.get(nameOf(path)) ?? []), entry]);
  const found = new Set<string>();
  const visit = (wanted: string): void => {
    if (found.has(wanted)) return;
    found.add(wanted);
    for (const { dependencies = {} } of byName.get(wanted) ?? []) Object.keys(dependencies).forEach(visit);
  };
  visit(name);
  return found;
}

describe('what an installation brings', () => {
  it('is locked by content', () => {
    expect(runtimePackages()).to.have.length.above(50);
    for (const [path, { integrity }] of runtimePackages()) expect(integrity, path).to.match(/^sha512-/);
  });

  it('runs nothing when it is installed', () => {
    const scripts = runtimePackages().filter(([, { hasInstallScript = false }]) => hasInstallScript);
    expect(scripts.map(([path]) => path)).to.deep.equal([]);
  });

  it('is under permissive licences, but for what is named', () => {
    const others = runtimePackages().filter(([, { license = '' }]) => !PERMISSIVE.includes(license));
    expect(others.map(([path]) => nameOf(path))).to.have.members(COPYLEFT);
    const page = read('docs', 'dependencies.md');
    for (const name of COPYLEFT) expect(page).to.include(`\`${name}\``);
  });

  it('has those others for the sake of xen-api alone', () => {
    const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
    for (const name of Object.keys(dependencies)) {
      const needed = COPYLEFT.filter((other) => needsOf(name).has(other));
      expect(needed, name).to.deep.equal(name === 'xen-api' ? COPYLEFT : []);
    }
  });
});

describe('the bundle', () => {
  const bundled = read('dist', 'bundle', 'LICENSES.txt').split('\n\n\n== ');

  it('holds no package under another licence, and says the licence of each', () => {
    expect(bundled).to.have.length.above(30);
    for (const part of bundled) {
      const [, name = '', licence = ''] = /^(?:== )?(\S+) \S+: (.+)\n\n\S[^]{40}/.exec(part) ?? [];
      expect(PERMISSIVE, part.slice(0, 80)).to.include(licence);
      expect(COPYLEFT).to.not.include(name);
    }
  });
});

describe('the package', () => {
  it('holds what runs and what explains it, and nothing else', async function () {
    this.timeout(30_000);
    const pack = ['pack', '--dry-run', '--json', '--ignore-scripts', '--offline'];
    const { stdout } = await promisify(execFile)('npm', pack, { cwd: packageRoot(), maxBuffer: 2 ** 24 });
    const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
    const paths = files.map(({ path }) => path);
    for (const needed of [
      'LICENSE',
      'README.md',
      'package.json',
      'plugin.manifest.json',
      'fixtures/datamodel/xenapi.json',
      'fixtures/pools/demo.json',
      'dist/bundle/plugin.js',
      'dist/bundle/xen-backup.js',
      'dist/bundle/LICENSES.txt',
      'dist/src/index.js',
      'dist/src/simulator/index.js',
      'dist/src/contract/index.d.ts',
    ]) {
      expect(paths).to.include(needed);
    }
    const allowed =
      /^(LICENSE|README\.md|package\.json|plugin\.manifest\.json|dist\/(bundle|src)\/.+|docs\/[a-z-]+(?:\.schema\.json|\.md)|fixtures\/(datamodel|pools)\/.+\.json)$/;
    expect(paths.filter((path) => !allowed.test(path))).to.deep.equal([]);
  });
});
