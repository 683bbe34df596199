import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type RunningPool, startSimulatedPool } from '../../src/simulator/index.js';
import { runPoolCli, type CliOutcome } from './support/pool-cli.js';
import { SMALL_POOL } from './support/xen-world.js';

describe('journey: pool metadata and hosts from the command line', () => {
  let running: RunningPool;
  let folder: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'xen-backup-'));
    running = await startSimulatedPool({
      poolFile: { ...SMALL_POOL, hosts: [{ name: 'host-a' }, { name: 'host-b' }] },
    });
  });

  afterEach(async () => {
    await running.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const xenBackup = (...args: string[]): Promise<CliOutcome> => runPoolCli(running, folder, args);

  it('saves the hosts that live, and ends with a warning for the one that does not', async () => {
    const { store } = running.pool;
    const dead = store.get('host', store.refByUuid('host', running.hosts[1]!.uuid));
    store.patch('host_metrics', dead.metrics as string, { live: false });
    const saved = await xenBackup('backup', 'host/*');
    expect(saved.code, saved.text).to.equal(3);
    expect(saved.text)
      .to.match(/saved host-a/)
      .and.to.match(/left out: host-b .*the pool does not hear of it/);
  });

  it('saves both, asks before a restore, and restores what is confirmed', async () => {
    const before = running.snapshotState({ withoutVolatile: true });
    const saved = await xenBackup('backup', 'meta-data', 'host/*');
    expect(saved.code, saved.text).to.equal(0);
    expect(readdirSync(join(folder, 'repo')).length).to.be.greaterThan(0);
    const verified = await xenBackup('verify', 'latest:pool/metadata');
    expect(verified.code, verified.text).to.equal(0);

    const asked = await xenBackup('restore', 'latest:pool/metadata', '--overwrite');
    expect(asked.code, asked.text).to.equal(3);
    expect(asked.text).to.match(/-o confirm=[0-9a-f-]{36}/);
    expect(asked.text).to.include('nothing was changed: ').and.not.include('restored ');
    const planned = await xenBackup('restore', `latest:host/${running.hosts[1]!.uuid}`, '--overwrite', '--dry-run');
    expect(planned.code, planned.text).to.equal(3);
    expect(planned.text).to.include('NOT_CONFIRMED');
    const byName = await xenBackup('restore', 'latest:host-b', '--overwrite');
    expect(byName.code, byName.text).to.equal(3);
    expect(running.snapshotState({ withoutVolatile: true })).to.deep.equal(before);

    const host = running.hosts[1]!.uuid;
    const restored = await xenBackup('restore', 'latest:host-b', '--overwrite', '-o', `confirm=${host}`);
    expect(restored.code, restored.text).to.equal(3);
    expect(restored.text).to.include('restored host-b');
    expect(running.hostRestores).to.have.length(1);
    const asNew = await xenBackup('restore', 'latest:pool/metadata', '--as', 'x');
    expect(asNew.code, asNew.text).to.equal(2);
    expect(asNew.text).to.include('-o confirm=');
  });
});
