import { expect } from 'chai';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packageRoot } from '../../src/common/package-root.js';
import { type HostServices, type RestoreHandlerContribution } from '../../src/contract/index.js';
import { createHostServices } from '../../src/host/host-services.js';
import { PluginCatalog } from '../../src/host/plugin-catalog.js';
import { Redactor } from '../../src/host/redaction.js';
import { RestoreHandlerRegistry } from '../../src/host/restore-handler-registry.js';
import { memoryManifestPath } from '../contract/support/memory-world.js';
import { expectCode } from '../contract/support/run-operation.js';
import { savesetRecord } from '../contract/support/saveset-record.js';
import { useTemporaryFolder } from './support/temporary-folder.js';

const services = (): HostServices =>
  createHostServices({
    hostId: 'h',
    logLevel: 'error',
    redactor: new Redactor(),
    environment: {},
    folder: '.',
    writeLog: () => undefined,
  });

describe('PluginCatalog', () => {
  const folder = useTemporaryFolder();

  /** A copy of the memory source under another plugin id, contributing the same things. */
  function copyOfMemorySource(): string {
    const copy = join(folder(), 'copy');
    cpSync(dirname(memoryManifestPath), copy, { recursive: true });
    symlinkSync(join(packageRoot(), 'node_modules'), join(folder(), 'node_modules'));
    for (const name of ['plugin.manifest.json', 'memory-source.js']) {
      const text = readFileSync(join(copy, name), 'utf8');
      writeFileSync(
        join(copy, name),
        text
          .replace(/"id": "memory-source"/, '"id": "copy"')
          .replace("manifestId: 'memory-source'", "manifestId: 'copy'"),
      );
    }
    writeFileSync(join(copy, 'package.json'), '{"type":"module"}');
    return join(copy, 'plugin.manifest.json');
  }

  it('finds what plugins contribute by id', async () => {
    const catalog = await PluginCatalog.load([memoryManifestPath], services());
    expect(catalog.plugins.map(({ manifest }) => manifest.id)).to.deep.equal(['memory-source']);
    expect(catalog.provider().id).to.equal('memory');
    expect(catalog.provider('memory')).to.equal(catalog.provider());
    expect(catalog.browser('memory').displayName).to.equal('In-memory machines');
    expect(catalog.restoreHandlers.find(savesetRecord()).id).to.equal('memory-machine');
    await catalog.close();
  });

  it('says what there is when something is missing', async () => {
    const catalog = await PluginCatalog.load([memoryManifestPath], services());
    const error = await expectCode(
      Promise.resolve().then(() => catalog.provider('other')),
      'CONFIG_INVALID',
    );
    expect(error.hint).to.contain('memory');
    const empty = await PluginCatalog.load([], services());
    await expectCode(
      Promise.resolve().then(() => empty.provider()),
      'CONFIG_INVALID',
    );
    await expectCode(
      Promise.resolve().then(() => empty.browser('memory')),
      'CONFIG_INVALID',
    );
    await catalog.close();
  });

  it('refuses two plugins with the same contribution', async () => {
    const error = await expectCode(
      PluginCatalog.load([memoryManifestPath, copyOfMemorySource()], services()),
      'PLUGIN_LOAD_FAILED',
    );
    expect(error.message).to.contain('source memory');
  });

  it('closes what it loaded when a later plugin is refused', async () => {
    await expectCode(
      PluginCatalog.load([memoryManifestPath, join(folder(), 'none.json')], services()),
      'MANIFEST_INVALID',
    );
  });
});

describe('RestoreHandlerRegistry', () => {
  const handler = (id: string, kinds: readonly string[]): RestoreHandlerContribution => ({
    id,
    providerId: 'memory',
    kinds,
    open: () => Promise.reject(new TypeError(id)),
  });

  it('finds by provider and kind', () => {
    const registry = new RestoreHandlerRegistry();
    registry.register(handler('machines', ['vm', 'template']));
    registry.register(handler('hosts', ['host']));
    const record = savesetRecord();
    expect(registry.find(record).id).to.equal('machines');
    expect(registry.find({ ...record, source: { ...record.source, kind: 'host' } }).id).to.equal('hosts');
  });

  it('opens the one it finds', async () => {
    const registry = new RestoreHandlerRegistry();
    registry.register(handler('machines', ['vm']));
    const outcome = await registry.open(savesetRecord(), { name: 'c', settings: {} }).catch((error: unknown) => error);
    expect(outcome).to.be.instanceOf(TypeError);
  });

  it('refuses a second handler for the same kind, and a kind that nobody takes', async () => {
    const registry = new RestoreHandlerRegistry();
    registry.register(handler('a', ['vm']));
    await expectCode(
      Promise.resolve().then(() => {
        registry.register(handler('b', ['vm']));
      }),
      'PLUGIN_LOAD_FAILED',
    );
    const record = savesetRecord({ providerId: 'other' });
    await expectCode(
      Promise.resolve().then(() => registry.find(record)),
      'OBJECT_NOT_SUPPORTED',
    );
  });
});
