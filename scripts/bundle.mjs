// Puts the command and the plugin, with the packages that they use, together into a handful of files: Node then opens
// some ten files where it would open a thousand, which is most of the time and CPU of a short call. What a host imports as
// a package (`dist/src`) is not touched by it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const LICENCE_FILE = /^(licen[cs]e|copying|notice)/i;
const PACKAGE_FOLDER = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//;

/** @param root the folder of package.json, with `dist/src` compiled and all packages installed. */
export async function bundle(root) {
  // Not before it is needed: setup.mjs runs before anything is installed.
  const { build } = await import('esbuild');
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: { 'xen-backup': 'dist/src/host/cli/main.js', plugin: 'dist/src/index.js' },
    outdir: 'dist/bundle',
    chunkNames: 'parts/[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    // Some packages tell their errors apart by the names of classes.
    keepNames: true,
    // A tenth of the time of a start is the reading of it; its map is beside it.
    minifyWhitespace: true,
    sourcemap: true,
    sourcesContent: false,
    // The CommonJS packages among them ask for Node's own modules by `require`.
    banner: {
      js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
    },
    metafile: true,
    logLevel: 'warning',
  });
  writeFileSync(join(root, 'dist', 'bundle', 'LICENSES.txt'), licencesOf(root, Object.keys(metafile.inputs)));
}

/** The licences of the packages that the files are from, as they ask for. */
function licencesOf(root, files) {
  const folders = new Set(files.flatMap((file) => PACKAGE_FOLDER.exec(file)?.[1] ?? []));
  return [...folders]
    .sort()
    .map((folder) => {
      const { name, version, license, author } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
      const texts = readdirSync(join(root, folder))
        .filter((file) => LICENCE_FILE.test(file))
        .map((file) => readFileSync(join(root, folder, file), 'utf8').trim());
      if (texts.length === 0) texts.push(`Its package has no text of the licence. Author: ${author?.name ?? author}`);
      return [`== ${name} ${version}: ${license}`, ...texts].join('\n\n');
    })
    .join('\n\n\n')
    .concat('\n');
}
