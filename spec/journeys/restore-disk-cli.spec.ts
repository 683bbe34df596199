import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type RunningPool, startSimulatedPool } from '../../src/simulator/index.js';
import { DiskDigest } from '../../src/transfer/disk-digest.js';
import { CHAIN_POOL } from './support/chain-world.js';
import { runPoolCli, type CliOutcome } from './support/pool-cli.js';

describe('journey: a disk of a chain from the command line', function () {
  this.timeout(60_000);
  let running: RunningPool;
  let folder: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'xen-backup-'));
    running = await startSimulatedPool({ poolFile: CHAIN_POOL });
    running.pool.timings.nbdDetachMs = 20;
  });

  afterEach(async () => {
    await running.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const tryXenBackup = (...args: string[]): Promise<CliOutcome> => runPoolCli(running, folder, args);

  async function xenBackup(...args: string[]): Promise<string> {
    const { code, text } = await tryXenBackup(...args);
    expect(code, text).to.equal(0);
    return text;
  }

  const vdiOf = (position: string): string => {
    const { store } = running.pool;
    const [web] = store.all('VM').find(([, { name_label }]) => name_label === 'web')!;
    return store.all('VBD').find(([, { VM, userdevice }]) => VM === web && userdevice === position)![1].VDI as string;
  };
  const bytesOf = (vdi: string): Buffer => {
    const content = running.pool.contents.get(vdi)!;
    return content.read(0, content.sizeBytes);
  };
  const savesets = (): string[] => readdirSync(join(folder, 'repo', 'savesets')).sort();

  /** A full and two increments; gives their ids and the first disk at each of these moments. */
  async function chain(): Promise<{ readonly id: string; readonly root: Buffer }[]> {
    const points: { id: string; root: Buffer }[] = [];
    for (const round of [0, 1, 2]) {
      if (round > 0) running.pool.contents.get(vdiOf('0'))!.write(round * 1_000_000, Buffer.alloc(3000, round));
      const root = bytesOf(vdiOf('0'));
      const known = round === 0 ? [] : savesets();
      await xenBackup('backup', 'vm/web', ...(round === 0 ? ['--format', 'disks'] : []));
      points.push({ id: savesets().find((id) => !known.includes(id))!, root });
    }
    return points;
  }

  it('brings a disk of any point into a file, and as a new disk into the machine', async () => {
    const points = await chain();
    for (const { id, root } of points) {
      await xenBackup('restore', id, '--disk', '0', '--to-file', `${id}.raw`);
      expect(readFileSync(join(folder, `${id}.raw`)).equals(root)).to.equal(true);
      await xenBackup('restore', id, '--disk', 'root', '--format', 'vhd', '--to-file', `${id}.vhd`);
      expect(digestOf('vhd', readFileSync(join(folder, `${id}.vhd`)))).to.equal(digestOf('raw', root));
    }
    const [, second] = points;
    const order = ['restore', second!.id, '--disk', '0', '--as', 'root of then', '--attach-to', 'vm/web'];
    const before = running.snapshotState({ withoutVolatile: true });
    const plan = await xenBackup(...order, '--dry-run');
    expect(plan)
      .to.match(/A new disk: .*root of then/)
      .and.to.include('merged from up to 2 savesets');
    expect(running.snapshotState({ withoutVolatile: true })).to.deep.equal(before);
    expect(await xenBackup(...order, '--sr', 'Second')).to.match(/restored .*root of then/);
    expect(bytesOf(vdiOf('3')).equals(second!.root)).to.equal(true);
    expect(running.pool.store.get('VDI', vdiOf('3')).name_label).to.equal('root of then');
  });

  it('says which member breaks a chain, and what contradicts itself', async () => {
    const [first, , last] = await chain();
    rmSync(join(folder, 'repo', 'savesets', first!.id), { recursive: true });
    for (const way of [
      ['--disk', '0'],
      ['--as', 'copy'],
      ['--disk', '0', '--to-file', 'x.raw'],
    ]) {
      const { code, text } = await tryXenBackup('restore', last!.id, ...way);
      expect([code, text]).to.satisfy(() => code === 1 && text.includes('CHAIN_BROKEN') && text.includes(first!.id));
    }
    for (const way of [
      ['--disk', '0', '--overwrite'],
      ['--as', 'x', '--attach-to', 'vm/web'],
      ['--disk', '0', '--format', 'raw'],
    ]) {
      expect((await tryXenBackup('restore', last!.id, ...way)).code).to.equal(2);
    }
  });
});

function digestOf(format: 'raw' | 'vhd', bytes: Buffer): string {
  const digest = new DiskDigest(format);
  digest.push(bytes);
  digest.end();
  return digest.hex();
}
