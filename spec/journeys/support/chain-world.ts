import { expect } from 'chai';
import { lastValueFrom, tap } from 'rxjs';
import {
  type BackupEvent,
  type BackupRequest,
  type LevelDecided,
  type RestoreMedia,
  type SavesetRecord,
} from '../../../src/contract/index.js';
import { machineDetailsSchema, type MachineChain } from '../../../src/format/machine-details.js';
import { type PoolDefinition } from '../../../src/simulator/index.js';
import { chainLayers } from '../../../src/transfer/chain-layers.js';
import { openMergedDisk } from '../../../src/transfer/chain-merge.js';
import { RecordingSink } from '../../contract/support/recording-sink.js';
import { type PoolConnection } from '../../../src/session/pool-connection.js';
import { PLAIN_DISK, PLAIN_DRIVE } from '../../support/new-records.js';
import { connectTo } from './open-pool.js';
import { startXenWorld, type WorldOptions, type XenWorld } from './xen-world.js';

const MIB = 1024 * 1024;

/** One host, NBD over TLS, and a machine with three disks on two storages. */
export const CHAIN_POOL: PoolDefinition = {
  name: 'Chain pool',
  seed: 11,
  hosts: [{ name: 'host-a' }],
  networks: [{ name: 'Management', bridge: 'xenbr0', device: 'eth0', isManagement: true, purpose: ['nbd'] }],
  storage: [
    { name: 'Main', type: 'nfs', sizeGiB: 4, isDefault: true },
    { name: 'Second', type: 'lvm', host: 'host-a', sizeGiB: 2 },
  ],
  vms: [
    {
      name: 'web',
      powerState: 'Running',
      memoryMiB: 256,
      guest: { os: 'Debian GNU/Linux 12' },
      disks: [
        { name: 'root', sizeMiB: 8, content: { kind: 'random', seed: 1 } },
        { name: 'data', sizeMiB: 6, storage: 'Second', content: { kind: 'text', seed: 2 } },
        { name: 'empty', sizeMiB: 4, content: { kind: 'zero' } },
      ],
      interfaces: [{ network: 'Management' }],
    },
    {
      name: 'golden',
      kind: 'template',
      disks: [{ name: 'golden disk', sizeMiB: 2, content: { kind: 'random', seed: 3 } }],
    },
  ],
};

/** One backup with all that it said and stored. */
export interface SavedPoint {
  readonly record: SavesetRecord;
  readonly chain: MachineChain;
  readonly sink: RecordingSink;
  readonly events: readonly BackupEvent[];
  /** Bytes of each disk at the time, by position. */
  readonly moment: Readonly<Record<string, Buffer>>;
  readonly decided: readonly LevelDecided[];
}

type Wish = Omit<Partial<BackupRequest>, 'source'>;

/** A world in which a machine is saved again and again. */
export class ChainWorld {
  readonly history: SavesetRecord[] = [];
  readonly #sinks = new Map<string, RecordingSink>();
  #count = 0;
  #other: PoolConnection | undefined;

  constructor(readonly xen: XenWorld) {}

  static async start(options: WorldOptions = {}): Promise<ChainWorld> {
    const xen = await startXenWorld({ poolFile: CHAIN_POOL, ...options });
    // The plugin's pauses are hurried, so the pool's must be.
    xen.running.pool.timings.nbdDetachMs = 20;
    return new ChainWorld(xen);
  }

  get machine(): string {
    return this.xen.uuidOf('web');
  }

  /** The disk at a place of the machine, as the simulator knows it. */
  vdi(position: string): string {
    const { store } = this.xen.running.pool;
    const vm = store.refByUuid('VM', this.machine);
    const [, vbd] = store
      .all('VBD')
      .find(([, { VM, type, userdevice }]) => VM === vm && type === 'Disk' && userdevice === position)!;
    return vbd.VDI as string;
  }

  sizeOf(position: string): number {
    return this.xen.running.pool.contents.get(this.vdi(position))!.sizeBytes;
  }

  nameOf(position: string): string {
    return this.xen.running.pool.store.get('VDI', this.vdi(position)).name_label as string;
  }

  /** Gives the machine a clone in a disk's place, as a revert does. */
  async replaceByClone(position: string): Promise<void> {
    const { store } = this.xen.running.pool;
    const old = this.vdi(position);
    const clone = await this.call('VDI.clone', old, {});
    const [vbd] = store
      .all('VBD')
      .find(([, { VDI, VM }]) => VDI === old && VM === store.refByUuid('VM', this.machine))!;
    store.patch('VBD', vbd, { VDI: clone });
  }

  positions(): string[] {
    const { store } = this.xen.running.pool;
    const vm = store.refByUuid('VM', this.machine);
    return store
      .all('VBD')
      .filter(([, { VM, type }]) => VM === vm && type === 'Disk')
      .map(([, { userdevice }]) => userdevice as string)
      .sort((one, other) => Number(one) - Number(other));
  }

  write(position: string, offsetBytes: number, data: Buffer): void {
    this.xen.running.pool.contents.get(this.vdi(position))!.write(offsetBytes, data);
  }

  /** The bytes of each disk now. */
  moment(): Record<string, Buffer> {
    return Object.fromEntries(
      this.positions().map((position) => {
        const content = this.xen.running.pool.contents.get(this.vdi(position))!;
        return [position, content.read(0, content.sizeBytes)];
      }),
    );
  }

  /** The bytes of each disk of any machine now. */
  contentOf(machine: string): Record<string, Buffer> {
    const { store, contents } = this.xen.running.pool;
    const vm = store.refByUuid('VM', machine);
    const drives = store.all('VBD').map(([, drive]) => drive);
    return Object.fromEntries(
      drives
        .filter(({ VM, type }) => VM === vm && type === 'Disk')
        .map(({ userdevice, VDI }) => {
          const content = contents.get(VDI as string)!;
          return [userdevice as string, content.read(0, content.sizeBytes)] as const;
        })
        .sort(([one], [other]) => Number(one) - Number(other)),
    );
  }

  /** Two disks of the machine change places. */
  swapPlaces(one: string, other: string): void {
    const { store } = this.xen.running.pool;
    const vm = store.refByUuid('VM', this.machine);
    const at = (place: string): string =>
      store.all('VBD').find(([, { VM, userdevice }]) => VM === vm && userdevice === place)![0];
    const [first, second] = [at(one), at(other)];
    store.patch('VBD', first, { userdevice: other });
    store.patch('VBD', second, { userdevice: one });
  }

  /** Saves the machine, without settling. */
  async save(wish: Wish = {}, onEvent: (event: BackupEvent) => void = () => undefined): Promise<SavedPoint> {
    this.#count += 1;
    const sink = new RecordingSink();
    const events: BackupEvent[] = [];
    const moment = this.moment();
    const request: BackupRequest = {
      source: 'vm/web',
      savesetId: `s${this.#count}`,
      level: 'auto',
      history: this.history,
      ...wish,
      options: { format: 'disks', ...wish.options },
    };
    const operation = this.xen.source.backup(request, sink).pipe(
      tap((event) => {
        events.push(event);
        onEvent(event);
      }),
    );
    const last = await lastValueFrom(operation);
    if (last.type !== 'completed') return expect.fail('the backup ended without a report');
    const { record } = last.report;
    this.#sinks.set(record.savesetId, sink);
    const { chain } = machineDetailsSchema.parse(record.details);
    if (chain === undefined) return expect.fail('the record has no chain');
    const decided = events.filter((event) => event.type === 'level-decided');
    return { record, chain, sink, events, moment, decided };
  }

  /** Saves the machine, and the host says that it is stored. */
  async store(wish: Wish = {}, onEvent?: (event: BackupEvent) => void): Promise<SavedPoint> {
    const point = await this.save(wish, onEvent);
    this.history.push(point.record);
    await this.xen.source.settle(point.record, 'stored');
    return point;
  }

  /** @param damaged an item whose bytes are not what they were: one bit near its end. */
  media(record: SavesetRecord, damaged?: { readonly savesetId: string; readonly item: string }): RestoreMedia {
    const byId = new Map(this.history.map((one) => [one.savesetId, one]));
    const ancestors: SavesetRecord[] = [];
    for (let at = record.parentSavesetId; at !== undefined; at = byId.get(at)?.parentSavesetId)
      ancestors.push(byId.get(at)!);
    return {
      record,
      ancestors,
      openItem: (name, signal, savesetId = record.savesetId) => {
        const isDamaged = damaged?.item === name && damaged.savesetId === savesetId;
        return this.#sinks
          .get(savesetId)!
          .media(record, isDamaged ? flipLate : undefined)
          .openItem(name, signal);
      },
    };
  }

  /** Bytes of each disk as the chain gives them. */
  async restored(record: SavesetRecord): Promise<Record<string, Buffer>> {
    const media = this.media(record);
    const disks: Record<string, Buffer> = {};
    for (const disk of record.disks) {
      const merged = await openMergedDisk(chainLayers(media, disk), { media });
      const bytes = Buffer.alloc(merged.sizeBytes);
      for await (const { offsetBytes, data } of merged.runs()) data.copy(bytes, offsetBytes);
      merged.close();
      disks[disk.position] = bytes;
    }
    return disks;
  }

  async expectRestores({ record, moment }: SavedPoint): Promise<void> {
    const restored = await this.restored(record);
    for (const { position } of record.disks) {
      expect(restored[position]!.equals(moment[position]!), `disk ${position} of ${record.savesetId}`).to.equal(true);
    }
  }

  /** The bases in the pool: name of the disk, type, saveset. */
  bases(): string[] {
    return this.xen.running.pool.store
      .all('VDI')
      .filter(([, { is_a_snapshot }]) => is_a_snapshot === true)
      .map(([, { name_label, type, other_config }]) => {
        const mark = JSON.parse((other_config as Record<string, string>)['xen-backup:run'] ?? '{}') as { run?: string };
        return `${name_label as string} ${type as string} ${mark.run ?? ''}`;
      })
      .sort();
  }

  typeOfRoot(): string {
    return this.xen.running.pool.store.get('VDI', this.vdi('0')).type as string;
  }

  snapshots(): string[] {
    return this.xen.running.pool.store
      .all('VM')
      .filter(([, { is_a_snapshot }]) => is_a_snapshot === true)
      .map(([, { name_label }]) => name_label as string);
  }

  /** Reference of the base of the disk with that name. */
  baseOf(name: string): string {
    const [ref] = this.xen.running.pool.store
      .all('VDI')
      .find(([, vdi]) => vdi.is_a_snapshot === true && vdi.name_label === name && vdi.type === 'cbt_metadata')!;
    return ref;
  }

  patchVdi(ref: string, fields: Record<string, unknown>): void {
    this.xen.running.pool.store.patch('VDI', ref, fields as never);
  }

  /** Makes a disk larger while its machine runs. */
  grow(position: string, sizeBytes: number): void {
    this.xen.running.pool.contents.get(this.vdi(position))!.resize(sizeBytes);
    this.patchVdi(this.vdi(position), { virtual_size: sizeBytes });
  }

  /** A call to the pool as somebody else. */
  async call(method: string, ...args: unknown[]): Promise<string> {
    this.#other ??= await connectTo(this.xen.running);
    return await this.#other.call<string>(method, args);
  }

  async addDisk(name: string, sizeBytes: number, userdevice: string): Promise<void> {
    const { store } = this.xen.running.pool;
    const sr = store.refByUuid('SR', this.xen.uuidOf('Main', 'SR'));
    const vdi = await this.call('VDI.create', {
      name_label: name,
      name_description: '',
      SR: sr,
      virtual_size: sizeBytes,
      ...PLAIN_DISK,
    });
    await this.call('VBD.create', {
      VM: store.refByUuid('VM', this.machine),
      VDI: vdi,
      userdevice,
      ...PLAIN_DRIVE,
      unpluggable: true,
    });
  }

  levels({ record }: SavedPoint): string[] {
    return record.disks.map(({ position, level, reason }) => `${position} ${level} ${reason}`);
  }

  async close(): Promise<void> {
    await this.#other?.close();
    await this.xen.close();
  }
}

export const mib = (count: number): number => count * MIB;
export const filled = (bytes: number, value: number): Buffer => Buffer.alloc(bytes, value);

function flipLate(bytes: Buffer): Buffer {
  const at = Math.floor(bytes.length * 0.9);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  return bytes;
}
