import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { inject, injectable } from 'inversify';
import { disksOf, loadMachine } from '../browser/machine.js';
import { Clock } from '../common/clock.js';
import { type LevelDecided, type SavesetDisk, type SavesetItem } from '../contract/index.js';
import { type MachineChain, type MachineChainDisk } from '../format/machine-details.js';
import { planVhd } from '../format/vhd-plan.js';
import { writeVhd } from '../format/vhd-writer.js';
import { XvaReader } from '../format/xva-reader.js';
import { OwnObjects } from '../session/own-objects.js';
import { repeatLostTransfer } from '../session/lost-step.js';
import { PoolConnection } from '../session/pool-connection.js';
import { type RunIdentity } from '../session/run-marks.js';
import { changedExtents, type DiskExtents } from '../transfer/disk-extents.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { isNullRef, type RefOf } from '../xapi/xapi-records.js';
import { type BaseRetention } from './backup-options.js';
import {
  baseKindOf,
  chainDisk,
  diskItem,
  matchSnapshot,
  METADATA_ITEM,
  savesetDisk,
  type SnapshotDisk,
  supersededBy,
  vhdParent,
} from './chain-disk.js';
import { DiskDataReader } from './disk-data-reader.js';
import { type ExportTools, ItemExporter } from './item-exporter.js';
import { type DiskLevel, type LevelPlan, withFull } from './level-plan.js';
import { allocatedBytes, LevelPlanner, type PlannedLevels } from './level-planner.js';
import { ExportedVhd } from './exported-vhd.js';

const VHD_TYPE = 'application/x-vhd';
/** What the pool can't compare it doesn't know any more (facts 7.1). */
const LOST_TRACK = ['SR_BACKEND_FAILURE_459', 'SR_BACKEND_FAILURE_460'] as const;

export interface DisksOrder {
  readonly snapshot: RefOf<'VM'>;
  readonly machineName: string;
  readonly levels: PlannedLevels;
  readonly base: BaseRetention;
  /** Positions of disks whose tracking this run has switched on. */
  readonly startedTracking: ReadonlySet<string>;
  readonly run: RunIdentity;
  readonly forceHttps: boolean;
  /** Told what each disk costs, before any byte moves. */
  readonly onDecided: (event: Omit<LevelDecided, 'atMs'>) => void;
  /** A disk goes full after all; throws when that is not wanted. */
  readonly onFallback: (fallback: DiskLevel) => void;
}

export interface ExportedDisks {
  readonly items: readonly SavesetItem[];
  readonly disks: readonly SavesetDisk[];
  readonly plan: LevelPlan;
  readonly chain: MachineChain;
  /** Whether data came by NBD, and whether all of that came over TLS. */
  readonly nbd: 'none' | 'tls' | 'clear';
}

/** A disk that is about to be read. */
interface ReadyDisk extends SnapshotDisk {
  readonly baseKind: MachineChainDisk['baseKind'];
  /** What changed, for an increment by the pool's bitmap. */
  readonly changed: DiskExtents | undefined;
}

interface ExportedDisk {
  readonly item: SavesetItem;
  readonly vhdId: string;
  readonly readBy: MachineChainDisk['readBy'];
  /** True when it came over a connection that anybody can read. */
  readonly isClear?: boolean;
}

/** Brings a snapshot's disks to the medium, each as a VHD of its own, and the machine's metadata before them. */
@injectable()
export class DisksExporter {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(OwnObjects) private readonly own: OwnObjects,
    @inject(ItemExporter) private readonly exporter: ItemExporter,
    @inject(LevelPlanner) private readonly planner: LevelPlanner,
    @inject(DiskDataReader) private readonly reader: DiskDataReader,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  /** Resolves when the medium has all items and each was found right. One item after the other: a tape takes no more. */
  async export(order: DisksOrder, tools: ExportTools): Promise<ExportedDisks> {
    const { signal } = tools;
    const { plan, ready } = await this.#prepare(order, signal);
    for (const { level, record, changed } of ready) {
      const { disk, level: ofDisk, reason, parent } = level;
      const expectedBytes = changed?.totalBytes ?? (parent === undefined ? allocatedBytes(record) : undefined);
      const expected = expectedBytes === undefined ? {} : { expectedBytes };
      order.onDecided({ type: 'level-decided', disk: disk.name, level: ofDisk, reason, ...expected });
    }
    const anew = <T>(transfer: (tools: ExportTools) => Promise<T>): Promise<T> =>
      repeatLostTransfer(this.pool, tools.sink, signal, (sink) => transfer({ ...tools, sink }));
    const items = [await anew((again) => this.#metadata(order, again))];
    const members: MachineChainDisk[] = [];
    let nbd: ExportedDisks['nbd'] = 'none';
    for (const disk of ready) {
      const { item, vhdId, readBy, isClear = false } = await anew((again) => this.#disk(disk, order, again));
      if (readBy === 'nbd' && nbd !== 'clear') nbd = isClear ? 'clear' : 'tls';
      items.push(item);
      const startedTracking = order.startedTracking.has(disk.level.disk.position);
      members.push(chainDisk(disk, { vhdId, readBy, baseKind: disk.baseKind, startedTracking }));
    }
    const chain = {
      ancestors: [...plan.ancestors],
      supersedes: supersededBy(plan, order.levels.historyIds),
      metadataItem: METADATA_ITEM,
      disks: members,
    };
    return { items, disks: ready.map(savesetDisk), plan, chain, nbd };
  }

  /** The snapshot's disks as they belong to the plan, marked as bases, with what changed in each. */
  async #prepare(
    { snapshot, machineName, levels, base, run, onFallback }: DisksOrder,
    signal: AbortSignal,
  ): Promise<{ plan: LevelPlan; ready: readonly ReadyDisk[] }> {
    const record = await this.pool.record('VM', snapshot, { signal });
    const machine = await loadMachine(this.pool, { ref: snapshot, record }, { signal });
    let { plan } = levels;
    const ready: ReadyDisk[] = [];
    for (const disk of matchSnapshot(plan, disksOf(machine), machineName)) {
      const baseKind = plan.level === 'copy' ? undefined : baseKindOf(disk, levels.hasNbd, base);
      if (baseKind !== undefined) {
        const mark = { object: disk.record.uuid, keep: baseKind };
        await this.own.mark('VDI', disk.ref, run, 'base', signal, mark);
      }
      const { level } = disk;
      const changed = level.reason === 'CBT_OK' ? await this.#changed(disk, signal) : undefined;
      if (level.reason !== 'CBT_OK' || changed !== undefined) {
        ready.push({ ...disk, baseKind, changed });
        continue;
      }
      plan = withFull(plan, level.disk.position, 'CBT_INVALID');
      const fallback = { disk: level.disk, level: 'full', reason: 'CBT_INVALID' } as const;
      onFallback(fallback);
      ready.push({ ...disk, level: fallback, baseKind, changed });
    }
    return { plan, ready };
  }

  /** Undefined when the pool lost track after all. */
  async #changed({ level, ref, record }: SnapshotDisk, signal: AbortSignal): Promise<DiskExtents | undefined> {
    const base = await this.planner.baseRef(level.parent?.baseId ?? '', signal);
    if (isNullRef(base)) return undefined;
    try {
      const bitmap = await this.pool.call<string>('VDI.list_changed_blocks', [base, ref], { signal });
      return changedExtents(bitmap, record.virtual_size);
    } catch (error) {
      if (isXapiError(error, ...LOST_TRACK)) return undefined;
      throw error;
    }
  }

  async #metadata({ snapshot, machineName, forceHttps }: DisksOrder, tools: ExportTools): Promise<SavesetItem> {
    return await this.exporter.export(
      {
        name: METADATA_ITEM,
        kind: 'machine-metadata',
        mediaType: 'application/x-xva',
        title: machineName,
        path: '/export_metadata',
        query: { ref: snapshot, export_snapshots: 'false' },
        check: new XvaReader({ hasDiskData: false }),
        forceHttps,
      },
      tools,
    );
  }

  async #disk(disk: ReadyDisk, order: DisksOrder, tools: ExportTools): Promise<ExportedDisk> {
    const { parent } = disk.level;
    if (parent === undefined) return await this.#whole(disk, order, tools);
    if (disk.changed !== undefined) return await this.#increment(disk, disk.changed, parent, order, tools);
    return await this.#difference(disk, parent, order, tools);
  }

  /** As the pool sends it, checked while it flows. */
  async #whole({ level, ref, record }: ReadyDisk, { forceHttps }: DisksOrder, tools: ExportTools) {
    const vhd = new ExportedVhd('dynamic', { diskSizeBytes: record.virtual_size });
    const item = await this.exporter.export(
      {
        ...labelOf(level),
        path: '/export_raw_vdi',
        query: { vdi: ref, format: 'vhd' },
        check: vhd,
        forceHttps,
        expected: { expectedBytes: allocatedBytes(record), expectedIs: 'estimate' },
      },
      tools,
    );
    return { item, vhdId: vhd.uuid, readBy: 'export' as const };
  }

  /** What the storage finds between two snapshots, as the pool sends it, made the child of the stored parent. */
  async #difference(
    { level, ref, record }: ReadyDisk,
    parent: NonNullable<DiskLevel['parent']>,
    { forceHttps, run }: DisksOrder,
    tools: ExportTools,
  ) {
    const vhd = new ExportedVhd('differencing', {
      diskSizeBytes: record.virtual_size,
      parent: vhdParent(parent, run.startedAtMs),
    });
    const base = await this.planner.baseRef(parent.baseId, tools.signal);
    const item = await this.exporter.export(
      {
        ...labelOf(level),
        path: '/export_raw_vdi',
        query: { vdi: ref, format: 'vhd', base },
        check: vhd,
        forceHttps,
      },
      tools,
    );
    return { item, vhdId: vhd.uuid, readBy: 'difference' as const };
  }

  /** Only what changed is read, and no more than that is stored. */
  async #increment(
    { level, ref, record }: ReadyDisk,
    changed: DiskExtents,
    parent: NonNullable<DiskLevel['parent']>,
    { forceHttps }: DisksOrder,
    tools: ExportTools,
  ) {
    const vhdId = randomUUID();
    const createdAtMs = this.clock.nowMs();
    const plan = planVhd({
      diskSizeBytes: record.virtual_size,
      changed: [...changed],
      uuid: vhdId,
      parent: vhdParent(parent, createdAtMs),
      createdAtMs,
    });
    const wanted = { disk: ref, sizeBytes: record.virtual_size, extents: changed, forceHttps };
    const data = this.reader.read(wanted, tools.signal);
    const expected = { expectedBytes: plan.bytes, expectedIs: 'exact' } as const;
    const source = Readable.from(writeVhd(plan, data), { objectMode: false });
    const item = await this.exporter.store({ ...labelOf(level), expected }, source, tools);
    return { item, vhdId, readBy: 'nbd' as const, isClear: !data.counts.isSecure };
  }
}

function labelOf({ disk }: DiskLevel): { name: string; kind: string; mediaType: string; title: string } {
  return { name: diskItem(disk.position), kind: 'disk', mediaType: VHD_TYPE, title: disk.name };
}
