import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type RunningPool, startSimulatedPool } from '../../src/simulator/index.js';
import { runPoolCli, type CliOutcome } from './support/pool-cli.js';
import { SMALL_POOL } from './support/xen-world.js';

interface Listed {
  readonly record: {
    readonly savesetId: string;
    readonly level: string;
    readonly parentSavesetId?: string;
    readonly disks: readonly { readonly reason: string }[];
  };
}

describe('journey: a chain from the command line', () => {
  let running: RunningPool;
  let folder: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'xen-backup-'));
    const networks = SMALL_POOL.networks?.map((network) =>
      network.isManagement === true ? { ...network, purpose: ['nbd' as const] } : network,
    );
    running = await startSimulatedPool({ poolFile: { ...SMALL_POOL, networks } });
  });

  afterEach(async () => {
    await running.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const xenBackup = (...args: string[]): Promise<CliOutcome> => runPoolCli(running, folder, args);

  const listed = async (): Promise<readonly Listed['record'][]> =>
    (await xenBackup('list', '--json')).text
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as Listed).record);

  const diskOf = (name: string): string => {
    const [, record] = running.pool.store.all('VDI').find(([, { name_label }]) => name_label === name)!;
    return record.uuid as string;
  };

  it('begins with a full, goes on by itself, and every point comes back', async () => {
    const before = Buffer.from(
      running.pool.contents.get(running.pool.store.refByUuid('VDI', diskOf('web root')))!.read(0, 65_536),
    );
    const full = await xenBackup('backup', 'vm/web', '--format', 'disks');
    expect(full.code, full.text).to.equal(0);
    running.writeGuest(diskOf('web root'), 70_000, Buffer.alloc(1000, 7));
    const dry = await xenBackup('backup', 'vm/web', '--dry-run');
    expect(dry.text).to.match(/web root .* incremental +CBT_OK/);
    const next = await xenBackup('backup', 'vm/web');
    expect(next.code, next.text).to.equal(0);

    const [first, second] = await listed();
    expect(first?.level).to.equal('full');
    expect(second).to.include({ level: 'incremental', parentSavesetId: first?.savesetId });
    const size = (id = '', item = ''): number => statSync(join(folder, 'repo', 'savesets', id, item)).size;
    expect(size(second?.savesetId, 'disk-0.vhd')).to.be.lessThan(65_536 + 8192);
    expect(size(first?.savesetId, 'disk-0.vhd')).to.be.greaterThan(3 * 1024 * 1024);

    for (const [id, byte] of [
      [first?.savesetId ?? '', undefined],
      [second?.savesetId ?? '', 7],
    ] as const) {
      const file = join(folder, `${id}.raw`);
      const out = await xenBackup('restore', id, '--to-file', file, '--disk', '0', '--format', 'raw');
      expect(out.code, out.text).to.equal(0);
      const bytes = readFileSync(file);
      expect(bytes.subarray(0, 65_536).equals(before)).to.equal(true);
      expect(bytes.subarray(70_000, 71_000).every((found) => found === byte)).to.equal(byte !== undefined);
    }
    const restored = await xenBackup('restore', second?.savesetId ?? '', '--as', 'back');
    expect(restored.code, restored.text).to.equal(0);
  });

  it('is known as ours from the first backup into a new repository on', async () => {
    await xenBackup('backup', 'vm/web', '--format', 'disks');
    const { hostId } = JSON.parse(readFileSync(join(folder, 'repo', 'repository.json'), 'utf8')) as { hostId: string };
    const marks = running.pool.store.all('VDI').flatMap(([, { other_config }]) => {
      const mark = (other_config as Record<string, string>)['xen-backup:run'];
      return mark === undefined ? [] : [(JSON.parse(mark) as { host: string }).host];
    });
    expect(marks).to.deep.equal([hostId, hostId]);
  });

  it('goes as a whole or not at all when old savesets are removed', async () => {
    await xenBackup('backup', 'vm/web', '--format', 'disks');
    await xenBackup('backup', 'vm/web');
    const kept = await xenBackup('prune', '--keep-last', '1');
    expect(kept.text).to.include('kept 2');
    await xenBackup('backup', 'vm/web', '--level', 'full', '--format', 'disks');
    const gone = await xenBackup('prune', '--keep-last', '1');
    expect(gone.text).to.include('removed 2, kept 1');
  });

  it('begins anew, as a chain and not as an archive, when a member is lost', async () => {
    await xenBackup('backup', 'vm/web', '--format', 'disks');
    await xenBackup('backup', 'vm/web');
    const [first] = await listed();
    rmSync(join(folder, 'repo', 'savesets', first?.savesetId ?? ''), { recursive: true });
    const anew = await xenBackup('backup', 'vm/web');
    expect(anew.code, anew.text).to.equal(3);
    expect(anew.text).to.include('FULL_FALLBACK').and.include('BASE_MISSING').and.include('disk-0.vhd');
  });

  it('is not what is asked for when the form can have none', async () => {
    const refused = await xenBackup('backup', 'vm/web', '--level', 'incremental', '--format', 'xva');
    expect(refused.code, refused.text).to.equal(2);
    expect(refused.text).to.include('REQUEST_INVALID').and.include('disks');
  });
});
