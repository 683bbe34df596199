import { expect } from 'chai';
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '../../src/common/byte-size.js';
import { packageRoot } from '../../src/common/package-root.js';
import { XvaReader } from '../../src/format/xva-reader.js';
import { startSimulatedPool, type RunningPool } from '../../src/simulator/index.js';
import { readRecord } from '../../src/xapi/xapi-records.js';
import { run, runWell, xenBackup } from './programs.js';

type Wire = Readonly<Record<string, unknown>>;

/** What a real XAPI 24.19.2 answered; beside the repository, never in it. */
const captured = (name: string): string => join(packageRoot(), '..', 'shared', 'captures', name);

/** The capture marks what was tagged as a date; an XML-RPC client hands over its text. */
const plainDate = (_key: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && '$dateTime' in value ? value.$dateTime : value;

async function readWhole(path: string, reader: XvaReader): Promise<ReturnType<XvaReader['end']>> {
  for await (const chunk of createReadStream(path)) reader.push(chunk as Buffer);
  return reader.end();
}

describe('the archives of a real XAPI', function () {
  let pool: RunningPool;
  let folder: string;

  before(async () => {
    expect(existsSync(captured('vm.xva')), 'the captures stand beside the repository').to.equal(true);
    folder = await mkdtemp(join(tmpdir(), 'interop-captured-'));
    pool = await startSimulatedPool();
  });

  after(async () => {
    await pool.close();
    await rm(folder, { recursive: true });
  });

  const put = (path: string, query: string, file: string): Promise<string> =>
    runWell('curl', [
      ...['-sS', '--fail', '-u', `${pool.username}:${pool.password}`, '-H', 'Expect:'],
      ...['-T', captured(file), `${pool.httpUrl}${path}?${query}`],
    ]);

  const machines = (name: string): string[] =>
    pool.pool.store
      .all('VM')
      .filter(([, vm]) => vm.name_label === name && vm.is_a_snapshot === false)
      .map(([ref]) => ref);

  it('are read whole: a machine with its disk', async () => {
    const summary = await readWhole(captured('vm.xva'), new XvaReader());
    expect(summary.bytes).to.equal((await stat(captured('vm.xva'))).size);
    expect(summary.checksumKind).to.equal('xxhash');
    expect(summary.disks.map(({ sizeBytes }) => sizeBytes)).to.deep.equal([8 * MIB]);
    expect(summary.blocks * MIB + summary.zeroBytesSkipped).to.equal(8 * MIB);
  });

  it('are read whole: metadata with snapshots', async () => {
    const summary = await readWhole(captured('vm-metadata-with-snapshots.xva'), new XvaReader({ hasDiskData: false }));
    const snapshots = summary.archive.objects.filter((entry) => entry.class === 'VM');
    expect(snapshots.length).to.be.greaterThan(1);
  });

  it('are refused when one byte is another', () => {
    const bytes = readFileSync(captured('vm.xva'));
    bytes[3 * MIB] = (bytes[3 * MIB] ?? 0) ^ 0x40;
    const reader = new XvaReader();
    expect(() => {
      reader.push(bytes);
      reader.end();
    }).to.throw(/checksum/i);
  });

  it('are imported by the simulated pool, backed up from there and read again', async () => {
    const name = 'vmA';
    const before = machines(name).length;
    await put('/import', '', 'vm.xva');
    const [imported] = machines(name).slice(before);
    expect(imported, `a VM called ${name} after the import`).to.be.a('string');
    const uuid = pool.pool.store.get('VM', imported!).uuid as string;
    await xenBackup(pool, folder, ['backup', `vm/${uuid}`]);
    await xenBackup(pool, folder, ['verify', `latest:vm/${uuid}`]);
  });

  it('of metadata are imported by the simulated pool without touching it, as a dry run', async () => {
    const objects = pool.pool.store.all('VM').length;
    const { code } = await run('curl', [
      ...[
        '-sS',
        '-u',
        `${pool.username}:${pool.password}`,
        '-H',
        'Expect:',
        '-T',
        captured('vm-metadata-with-snapshots.xva'),
      ],
      `${pool.httpUrl}/import_metadata?dry_run=true&force=true`,
    ]);
    expect(code).to.equal(0);
    expect(pool.pool.store.all('VM').length).to.equal(objects);
  });

  it('and its records are read the same from both encodings', () => {
    const json = JSON.parse(readFileSync(captured('records-jsonrpc.json'), 'utf8')) as Record<string, { result: Wire }>;
    const xml = JSON.parse(readFileSync(captured('records-xmlrpc.json'), 'utf8'), plainDate) as Record<string, Wire>;
    let compared = 0;
    for (const cls of ['pool', 'host', 'VM', 'VBD', 'VIF', 'VDI', 'SR', 'PBD', 'network', 'PIF'] as const) {
      const records = json[cls]?.result ?? {};
      expect(Object.keys(records), cls).to.deep.equal(Object.keys(xml[cls] ?? {}));
      for (const [ref, wire] of Object.entries(records)) {
        expect(readRecord(cls, wire), `${cls} ${ref}`).to.deep.equal(readRecord(cls, xml[cls]?.[ref]));
        compared += 1;
      }
    }
    expect(compared).to.be.at.least(15);
  });
});
