import { expect } from 'chai';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BackupError, type HostServices } from '../../src/contract/index.js';
import { findPlugin, loadPlugin } from '../../src/host/plugin-loader.js';
import { memoryManifestPath } from '../contract/support/memory-world.js';
import { expectCode } from '../contract/support/run-operation.js';
import { RecordingLogger } from '../support/recording-logger.js';
import { useTemporaryFolder } from './support/temporary-folder.js';

const services: HostServices = {
  logger: new RecordingLogger(),
  hostId: 'spec',
  resolveSecret: () => Promise.resolve('x'),
};

const manifest = {
  id: 'tiny',
  displayName: 'Tiny',
  version: '1.0.0',
  apiVersion: '1.0',
  main: './main.mjs',
  contributes: {
    sources: [{ id: 's', displayName: 'S' }],
    restoreHandlers: [{ id: 'r', displayName: 'R', kinds: ['vm'] }],
  },
};

const open = 'open() {}';
const goodPlugin = pluginText(
  `{ sources: [{ id: 's', ${open} }], browsers: [], restoreHandlers: [{ id: 'r', providerId: 's', kinds: ['vm'], ${open} }] }`,
);

function pluginText(contributions: string, more = ''): string {
  return `export default { manifestId: 'tiny', apiVersion: '1.0', deactivations: 0,
    async activate() { return ${contributions}; },
    async deactivate() { this.deactivations += 1; globalThis.deactivatedPlugins = (globalThis.deactivatedPlugins ?? 0) + 1; }, ${more} };`;
}

const deactivations = (): number => (globalThis as { deactivatedPlugins?: number }).deactivatedPlugins ?? 0;

describe('plugin loader', () => {
  const folder = useTemporaryFolder();

  function write(change: object = {}, main: string | undefined = goodPlugin): string {
    mkdirSync(join(folder(), 'plugin'), { recursive: true });
    if (main !== '') writeFileSync(join(folder(), 'plugin', 'main.mjs'), main);
    const path = join(folder(), 'plugin', 'plugin.manifest.json');
    writeFileSync(path, JSON.stringify({ ...manifest, ...change }));
    return path;
  }

  describe('findPlugin', () => {
    it('reads a manifest without running the plugin', async () => {
      const found = await findPlugin(write({}, 'throw new Error("ran");'));
      expect(found.manifest.id).to.equal('tiny');
      expect(found.mainPath).to.match(/main\.mjs$/);
    });

    it('refuses a manifest that is missing or not JSON', async () => {
      await expectCode(findPlugin(join(folder(), 'nothing.json')), 'MANIFEST_INVALID');
      writeFileSync(join(folder(), 'bad.json'), '{');
      await expectCode(findPlugin(join(folder(), 'bad.json')), 'MANIFEST_INVALID');
    });

    it('refuses a plugin for another contract before looking at its module', async () => {
      await expectCode(findPlugin(write({ apiVersion: '2.0', main: '../nothing.js' })), 'API_VERSION_UNSUPPORTED');
    });

    for (const main of ['../outside.mjs', '/etc/passwd', 'a/../../outside.mjs', './missing.mjs']) {
      it(`refuses the module ${main}`, async () => {
        writeFileSync(join(folder(), 'outside.mjs'), '');
        await expectCode(findPlugin(write({ main })), 'MANIFEST_INVALID');
      });
    }

    it('refuses a link that leads out of the folder', async () => {
      const path = write({ main: './link.mjs' });
      writeFileSync(join(folder(), 'outside.mjs'), goodPlugin);
      symlinkSync(join(folder(), 'outside.mjs'), join(folder(), 'plugin', 'link.mjs'));
      await expectCode(findPlugin(path), 'MANIFEST_INVALID');
    });
  });

  describe('loadPlugin', () => {
    it('gives the contributions, and deactivates once', async () => {
      const before = deactivations();
      const plugin = await loadPlugin(write(), services);
      expect(plugin.contributions.sources.map(({ id }) => id)).to.deep.equal(['s']);
      await plugin.deactivate();
      await plugin.deactivate();
      expect(deactivations()).to.equal(before + 1);
    });

    it('loads the memory source', async () => {
      const plugin = await loadPlugin(memoryManifestPath, services);
      expect(plugin.manifest.id).to.equal('memory-source');
      await plugin.deactivate();
    });

    const broken: Readonly<Record<string, readonly [main: string, message: RegExp]>> = {
      'a module that throws': ['throw new Error("bang");', /bang/],
      'a module that throws something odd': ['throw "odd";', /odd/],
      'a module with a syntax error': ['export default {', /imported/],
      'a module without a default export': ['export const x = 1;', /default export/],
      'a default export that is no plugin': ['export default { activate() {} };', /default export/],
      'another manifest id': [goodPlugin.replace("'tiny'", "'other'"), /other/],
      'another contract version': [goodPlugin.replace("'1.0'", "'1.1'"), /1\.1/],
      'an activation that fails': [
        `export default { manifestId: 'tiny', apiVersion: '1.0', async activate() { throw new Error('no way'); }, async deactivate() {} };`,
        /no way/,
      ],
      'an activation that fails oddly': [
        `export default { manifestId: 'tiny', apiVersion: '1.0', async activate() { throw 'odd'; }, async deactivate() {} };`,
        /odd/,
      ],
      'nothing contributed': [pluginText('undefined'), /contributes nothing/],
      'a list that is missing': [
        pluginText(`{ sources: [{ id: 's', ${open} }], browsers: [] }`),
        /restoreHandlers is not a list/,
      ],
      'a source that cannot be opened': [goodPlugin.replace(`{ id: 's', ${open} }`, "{ id: 's' }"), /cannot be opened/],
      'a source that the manifest does not know': [
        goodPlugin.replace(`{ id: 's', ${open} }`, `{ id: 'z', ${open} }`),
        /should be s and is z/,
      ],
      'a source that is missing': [goodPlugin.replace(`{ id: 's', ${open} }`, ''), /should be s and is nothing/],
      'kinds that differ': [
        goodPlugin.replace("kinds: ['vm']", "kinds: ['vm', 'host']"),
        /should take vm and takes vm, host/,
      ],
    };
    for (const [what, [main, message]] of Object.entries(broken)) {
      it(`refuses ${what}`, async () => {
        const error = await expectCode(loadPlugin(write({}, main), services), 'PLUGIN_LOAD_FAILED');
        expect(error.message).to.match(message);
      });
    }

    it('deactivates a plugin that it refuses after activation', async () => {
      const before = deactivations();
      await expectCode(loadPlugin(write({}, pluginText('{}')), services), 'PLUGIN_LOAD_FAILED');
      expect(deactivations()).to.equal(before + 1);
    });

    it('passes on a BackupError of the activation', async () => {
      const path = write({}, goodPlugin.replace(/return .*;/, 'throw globalThis.activationError;'));
      const error = new BackupError('CONFIG_INVALID', 'The plugin wants more.');
      Object.assign(globalThis, { activationError: error });
      await expectCode(loadPlugin(path, services), 'CONFIG_INVALID');
    });
  });
});
