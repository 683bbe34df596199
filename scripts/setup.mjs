// Makes a fresh clone ready: installs from the lock file and compiles, each only when needed.
// Plain JavaScript and nothing but Node, because it runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const lockFile = join(root, 'package-lock.json');
const installStamp = join(root, 'node_modules', '.installed-from');
const buildStamp = join(root, 'dist', '.built-from');

function stop(sentence, advice) {
  console.error(`error: ${sentence}\n       ${advice}`);
  process.exit(1);
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19) || (major === 22 && minor < 12)) {
  stop(`Node ${process.versions.node} is too old.`, 'Install Node 20.19 or later, or 22.12 or later.');
}

function readStamp(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

/** Packages that the lock file promises and that are not there (optional ones for other systems do not count). */
function missingPackages() {
  const { packages } = JSON.parse(readFileSync(lockFile, 'utf8'));
  return Object.entries(packages)
    .filter(([path, entry]) => path !== '' && !entry.optional && !entry.link)
    .map(([path]) => path)
    .filter((path) => !existsSync(join(root, path, 'package.json')));
}

function run(command, args, what) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (result.error !== undefined)
    stop(`${what} could not be started: ${result.error.message}.`, `Is ${command} installed?`);
  return result.status === 0;
}

function install() {
  const wanted = createHash('sha256').update(readFileSync(lockFile)).digest('hex');
  if (readStamp(installStamp) !== wanted) {
    console.error('Installing the packages of package-lock.json ...');
    const done = run('npm', ['ci', '--include=dev', '--ignore-scripts', '--loglevel=error'], 'npm');
    if (!done) stop('The install did not finish.', 'Read what npm said above; then run the same command again.');
  }
  const missing = missingPackages();
  if (missing.length > 0) {
    rmSync(installStamp, { force: true });
    stop(
      `The install is incomplete: ${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ` and ${missing.length - 3} more` : ''} not found.`,
      'Run the same command again, or "npm ci --include=dev".',
    );
  }
  writeFileSync(installStamp, wanted);
}

function sourceFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sourceFiles(path);
    return entry.name.endsWith('.ts') ? [path] : [];
  });
}

async function build() {
  const hash = createHash('sha256');
  const inputs = ['src', 'spec', 'bench', 'torture'].map((name) => join(root, name)).filter((path) => existsSync(path));
  const rules = [join(root, 'tsconfig.json'), join(root, 'scripts', 'bundle.mjs'), lockFile];
  for (const path of [...inputs.flatMap(sourceFiles).sort(), ...rules]) {
    const { mtimeMs, size } = statSync(path);
    hash.update(`${path}\0${mtimeMs}\0${size}\n`);
  }
  const wanted = hash.digest('hex');
  if (readStamp(buildStamp) === wanted) return;
  console.error('Compiling ...');
  // tsc never deletes what it wrote once: a removed spec would go on running.
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  const done = run(
    process.execPath,
    [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.json'],
    'The compiler',
  );
  if (!done) stop('The sources do not compile.', 'The compiler named file and line above.');
  await bundle(root);
  writeFileSync(buildStamp, wanted);
}

install();
await build();
