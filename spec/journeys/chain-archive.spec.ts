import { request as httpRequest } from 'node:http';
import { type Readable } from 'node:stream';
import { expect } from 'chai';
import { chainArchive } from '../../src/transfer/chain-archive.js';
import { setOf, textOf } from '../../src/simulator/wire/wire-value.js';
import { archiveMachine } from '../../src/format/ova-xml.js';
import { type RunningPool, startSimulatedPool } from '../../src/simulator/index.js';
import { CHAIN_POOL, ChainWorld, type SavedPoint } from './support/chain-world.js';

/** Sends an archive to a pool and gives the bytes of the disks that it has then, by position. */
async function importInto(
  { pool, httpUrl, username, password }: RunningPool,
  name: string,
  body: Readable,
  bytes: number | undefined,
): Promise<Record<string, Buffer>> {
  const task = pool.tasks.create({ label: 'import', host: pool.coordinator });
  const session = pool.sessions.login(username, password, 'spec', pool.coordinator);
  const query = new URLSearchParams({ session_id: session, task_id: task }).toString();
  await new Promise<void>((resolve, reject) => {
    const upload = httpRequest(
      `${httpUrl}/import?${query}`,
      { method: 'PUT', headers: { 'content-length': String(bytes) } },
      (response) => response.resume().on('end', resolve),
    );
    body.on('error', reject);
    body.pipe(upload.on('error', reject));
  });
  expect(pool.store.get('task', task)).to.include({ status: 'success' });
  const [, machine] = pool.store.all('VM').find(([, { name_label }]) => name_label === name)!;
  const disks = setOf(machine, 'VBDs')
    .map((ref) => pool.store.get('VBD', ref))
    .filter((drive) => textOf(drive, 'type') === 'Disk');
  return Object.fromEntries(
    disks.map((drive) => {
      const content = pool.contents.get(textOf(drive, 'VDI'))!;
      return [textOf(drive, 'userdevice'), content.read(0, content.sizeBytes)];
    }),
  );
}

describe('journey: a chain as an archive', () => {
  let world: ChainWorld;
  let other: RunningPool;

  beforeEach(async () => {
    world = await ChainWorld.start();
    other = await startSimulatedPool({ poolFile: { ...CHAIN_POOL, name: 'Other pool', vms: [] } });
  });

  afterEach(async () => {
    await world.close();
    await other.close();
  });

  it('brings each point of a chain into another pool, as it was', async () => {
    const points: SavedPoint[] = [await world.store()];
    for (let at = 1; at <= 3; at += 1) {
      world.write('0', at * 300_000, Buffer.alloc(3000, at));
      world.write('2', at * 70_000, Buffer.alloc(512, 0x40 + at));
      points.push(await world.store({ level: at === 2 ? 'differential' : 'incremental' }));
    }
    for (const { record, moment } of points) {
      const { stream, bytes, summary } = await chainArchive({
        media: world.media(record),
        editArchive: (archive) => {
          archiveMachine(archive).snapshot.name_label = record.savesetId;
        },
      });
      const disks = await importInto(other, record.savesetId, stream, await bytes);
      expect(Object.keys(disks).sort()).to.deep.equal(Object.keys(moment).sort());
      for (const [position, disk] of Object.entries(disks)) {
        expect(disk.equals(moment[position]!), `disk ${position} of ${record.savesetId}`).to.equal(true);
      }
      expect((await summary).bytes).to.equal(await bytes);
    }
  });
});
