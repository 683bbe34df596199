import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../../src/common/package-root.js';
import { parsePluginManifest } from '../../src/contract/index.js';
import plugin, { createPlugin } from '../../src/index.js';
import { xenConfigJsonSchema } from '../../src/plugin/xen-config.js';
import { RecordingLogger } from '../support/recording-logger.js';

const read = (name: string): unknown => JSON.parse(readFileSync(join(packageRoot(), name), 'utf8'));
const host = { logger: new RecordingLogger(), hostId: 'spec', resolveSecret: () => Promise.resolve('') };

describe('plugin.manifest.json', () => {
  const manifest = parsePluginManifest(read('plugin.manifest.json'));

  it('has the settings that the plugin checks', () => {
    expect(manifest.configSchema).to.deep.equal(xenConfigJsonSchema());
  });

  it('names what the module is, with the version of the package', async () => {
    const { version } = read('package.json') as { version: string };
    expect(manifest).to.include({ id: plugin.manifestId, apiVersion: plugin.apiVersion, version });
    const named = (await import(pathToFileURL(join(packageRoot(), manifest.main)).href)) as { default: typeof plugin };
    expect(named.default).to.include({ manifestId: plugin.manifestId, apiVersion: plugin.apiVersion });
  });

  it('lists what the plugin contributes, word for word', async () => {
    const own = createPlugin();
    const { sources, browsers, restoreHandlers } = await own.activate(host);
    expect(manifest.contributes.sources).to.deep.equal(sources.map(({ id, displayName }) => ({ id, displayName })));
    expect(manifest.contributes.browsers.map(({ id }) => id)).to.deep.equal(browsers.map(({ id }) => id));
    expect(manifest.contributes.restoreHandlers.map(({ id, kinds }) => ({ id, kinds }))).to.deep.equal(
      restoreHandlers.map(({ id, kinds }) => ({ id, kinds })),
    );
    await own.deactivate();
  });

  it('refuses a second activation, and may be deactivated twice', async () => {
    const own = createPlugin();
    await own.activate(host);
    const outcome: unknown = await own.activate(host).catch((error: unknown) => error);
    expect(outcome).to.include({ code: 'INTERNAL' });
    await own.deactivate();
    await own.deactivate();
  });
});
