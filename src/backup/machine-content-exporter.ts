import { inject, injectable } from 'inversify';
import { type BackupLevel, type LevelDecided, type SavesetDisk, type SavesetItem } from '../contract/index.js';
import { type MachineChain } from '../format/machine-details.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { type RunIdentity } from '../session/run-marks.js';
import { type RefOf } from '../xapi/xapi-records.js';
import { type BackupOptions } from './backup-options.js';
import { DisksExporter } from './disks-exporter.js';
import { type ExportTools, ItemExporter } from './item-exporter.js';
import { type DiskLevel } from './level-plan.js';
import { type PlannedLevels } from './level-planner.js';
import { ARCHIVE_ITEM, type MachineBackupPlan } from './machine-backup-plan.js';
import { machineArchiveOrder } from './machine-archive-order.js';
import { SnapshotKeeper } from './snapshot-keeper.js';

export interface ContentOrder {
  /** What is exported: the snapshot, or the machine itself. */
  readonly ref: RefOf<'VM'>;
  readonly plan: MachineBackupPlan;
  readonly options: BackupOptions;
  readonly levels: PlannedLevels;
  readonly machineName: string;
  readonly run: RunIdentity;
  readonly startedTracking: ReadonlySet<string>;
  readonly onVerify: () => void;
  readonly onDecided: (event: Omit<LevelDecided, 'atMs'>) => void;
  readonly onFallback: (fallback: DiskLevel) => void;
}

/** What has been brought to the medium, in the record's words. */
export interface SavedContent {
  readonly plan: MachineBackupPlan;
  readonly level: BackupLevel;
  readonly items: readonly SavesetItem[];
  readonly disks: readonly SavesetDisk[];
  /** Absent for one archive. */
  readonly chain?: MachineChain;
  /** How the data came, for people. */
  readonly transport: string;
}

/** Brings a machine's data to the medium in the planned form. */
@injectable()
export class MachineContentExporter {
  constructor(
    @inject(ItemExporter) private readonly items: ItemExporter,
    @inject(DisksExporter) private readonly disks: DisksExporter,
    @inject(SnapshotKeeper) private readonly snapshots: SnapshotKeeper,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
  ) {}

  async export(order: ContentOrder, tools: ExportTools): Promise<SavedContent> {
    return order.levels.plan.form === 'xva' ? await this.#archive(order, tools) : await this.#disks(order, tools);
  }

  async #archive(
    { ref, plan, options: { forceHttps }, levels, machineName, onVerify }: ContentOrder,
    tools: ExportTools,
  ): Promise<SavedContent> {
    const { level } = levels.plan;
    const { expectedBytes, withMemory } = plan;
    const disks = plan.disks.map((disk) => ({ ...disk, level }));
    const label = { name: ARCHIVE_ITEM, title: machineName, machine: ref };
    const order = { ...label, expectedBytes, disks, forceHttps, withMemory, onVerify };
    const item = await this.items.exportAnew(() => machineArchiveOrder(order), tools);
    return { plan, level, items: [item], disks, transport: this.#transport(forceHttps) };
  }

  /** Only when all is on the medium does the snapshot become what later backups build on; it waits for the host's word. */
  async #disks(order: ContentOrder, tools: ExportTools): Promise<SavedContent> {
    const { ref, plan, options, levels, machineName, run, startedTracking, onVerify, onDecided, onFallback } = order;
    const { forceHttps, base } = options;
    const disksOrder = { snapshot: ref, machineName, levels, base, startedTracking, run, forceHttps };
    const saved = await this.disks.export({ ...disksOrder, onDecided, onFallback }, tools);
    onVerify();
    if (saved.plan.level !== 'copy') await this.snapshots.handOver(ref, run, tools.signal);
    return {
      plan,
      level: saved.plan.level,
      items: saved.items,
      disks: saved.disks,
      chain: saved.chain,
      transport: { none: this.#transport(forceHttps), tls: 'nbd-tls', clear: 'nbd' }[saved.nbd],
    };
  }

  #transport(forceHttps: boolean): string {
    return forceHttps ? 'https' : this.settings.dataTransport;
  }
}
