import { EventEmitter } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { runCli } from '../../src/host/cli/run-cli.js';
import { type RunningPool, startSimulatedPool } from '../../src/simulator/index.js';
import { CapturedStream } from '../host/support/captured-stream.js';
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

  async function xenBackup(...args: string[]): Promise<{ readonly code: number; readonly text: string }> {
    const out = new CapturedStream(false);
    const err = new CapturedStream(false);
    const code = await runCli(args, {
      out,
      err,
      environment: {
        XEN_BACKUP_URL: running.url,
        XEN_BACKUP_USERNAME: running.username,
        XEN_BACKUP_PASSWORD: running.password,
        XEN_BACKUP_FINGERPRINT: running.hosts.map(({ fingerprint256 }) => fingerprint256).join(','),
        XEN_BACKUP_REPOSITORY: 'repo',
      },
      workingFolder: folder,
      signals: new EventEmitter(),
      exit: () => undefined,
    });
    return { code, text: out.text + err.text };
  }

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
