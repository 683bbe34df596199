import { inject, injectable } from 'inversify';
import { loadMachine, type Machine } from '../browser/machine.js';
import {
  machineKind,
  type MachineKind,
  machinePath,
  parseMachineName,
  resolveMachine,
} from '../browser/source-name.js';
import { noBackupReason, parseMachinePattern, selectMachines } from '../browser/selection.js';
import { type CleanupFailure, CleanupStack } from '../common/cleanup-stack.js';
import { Clock } from '../common/clock.js';
import {
  type BackupEstimate,
  type BackupPhase,
  type BackupReport,
  type BackupRequest,
  type BackupSink,
  type HostLogger,
  type ResolvedSource,
  type SavesetItem,
  type SavesetRecord,
} from '../contract/index.js';
import { ActiveRuns } from '../session/active-runs.js';
import { PoolConnection } from '../session/pool-connection.js';
import { RedactedLogger } from '../session/redact.js';
import { PROVIDER_ID, SourceIdentity } from '../session/source-identity.js';
import { ProgressMeter } from '../transfer/progress-meter.js';
import { type HostRecord, type PoolRecord, type RefOf, type VmRecord } from '../xapi/xapi-records.js';
import { type BackupProgressEvent } from './backup-handler.js';
import { parseBackupOptions } from './backup-options.js';
import {
  ARCHIVE_ITEM,
  estimateOf,
  machineDetails,
  type MachineBackupPlan,
  planMachineBackup,
} from './machine-backup-plan.js';
import { MachineExporter } from './machine-export.js';
import { MachinePreparer } from './machine-preparer.js';

/** One backup as it runs. */
interface Run {
  readonly request: BackupRequest;
  readonly source: ResolvedSource;
  readonly startedAtMs: number;
  readonly cleanup: CleanupStack;
  readonly signal: AbortSignal;
  readonly warnings: { code: string; message: string }[];
  readonly meter: ProgressMeter;
  readonly enter: (phase: BackupPhase) => void;
  readonly warn: (code: string, message: string) => void;
  readonly emit: (event: BackupProgressEvent) => void;
}

/** Where a machine lives. */
interface Origin {
  readonly pool: PoolRecord | undefined;
  readonly coordinator: HostRecord | undefined;
}

/** What has been brought to the medium, and what is known of where it came from. */
interface Saved {
  readonly item: SavesetItem;
  readonly machine: Machine;
  readonly plan: MachineBackupPlan;
  readonly origin: Origin;
}

/** The story of a full backup of a machine: resolve, check, bring to rest, transfer, verify, release. */
@injectable()
export class MachineBackupRunner {
  readonly #logger: HostLogger;

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(MachinePreparer) private readonly preparer: MachinePreparer,
    @inject(MachineExporter) private readonly exporter: MachineExporter,
    @inject(ActiveRuns) private readonly runs: ActiveRuns,
    @inject(SourceIdentity) private readonly identity: SourceIdentity,
    @inject(Clock) private readonly clock: Clock,
    @inject(RedactedLogger) logger: HostLogger,
  ) {
    this.#logger = logger.child({ part: 'backup' });
  }

  /** The machine of this kind that a name stands for; undefined when the name means the other kind. */
  async resolve(kind: MachineKind, name: string, signal?: AbortSignal): Promise<ResolvedSource | undefined> {
    const { kind: wanted } = parseMachineName(name);
    if (wanted !== undefined && wanted !== kind) return undefined;
    const machines = await this.pool.allRecords('VM', signal === undefined ? {} : { signal });
    const machine = resolveMachine(name, machines.values());
    return machineKind(machine) === kind ? toResolvedSource(machine) : undefined;
  }

  /** The machines of this kind that a pattern fits, when it is one. */
  async expand(
    kind: MachineKind,
    pattern: string,
    signal?: AbortSignal,
  ): Promise<readonly ResolvedSource[] | undefined> {
    if (parseMachinePattern(pattern)?.kind !== kind) return undefined;
    const machines = await this.pool.allRecords('VM', signal === undefined ? {} : { signal });
    return selectMachines(pattern, kind, machines.values())?.map(({ machine, skipReason }) => ({
      ...toResolvedSource(machine),
      ...(skipReason === undefined ? {} : { skipReason }),
    }));
  }

  async estimate(source: ResolvedSource, request: BackupRequest): Promise<BackupEstimate> {
    const { wish } = parseBackupOptions(request);
    const machine = await this.#load(source, request.signal);
    return estimateOf(source, planMachineBackup(machine, wish));
  }

  async backup(
    source: ResolvedSource,
    request: BackupRequest,
    sink: BackupSink,
    emit: (event: BackupProgressEvent) => void,
    signal: AbortSignal,
  ): Promise<BackupReport> {
    const run = this.#begin(source, request, emit, signal);
    const leave = this.runs.enter(request.savesetId);
    try {
      const saved = await this.#transfer(run, sink);
      run.enter('release');
      this.#report(run, await run.cleanup.run());
      return {
        record: this.#record(run, saved),
        transferredBytes: run.meter.transferredBytes,
        elapsedMs: this.clock.nowMs() - run.startedAtMs,
      };
    } catch (error) {
      this.#report(run, await run.cleanup.run());
      throw error;
    } finally {
      leave();
    }
  }

  #begin(
    source: ResolvedSource,
    request: BackupRequest,
    emit: (event: BackupProgressEvent) => void,
    signal: AbortSignal,
  ): Run {
    const warnings: Run['warnings'] = [];
    return {
      request,
      source,
      startedAtMs: this.clock.nowMs(),
      cleanup: new CleanupStack(),
      signal,
      warnings,
      meter: new ProgressMeter({ emit, clock: this.clock }),
      emit,
      enter: (phase) => {
        emit({ type: 'phase-entered', phase, atMs: this.clock.nowMs() });
      },
      warn: (code, message) => {
        warnings.push({ code, message });
        this.#logger.warn(message, { code, saveset: request.savesetId });
        emit({ type: 'warning', code, message, atMs: this.clock.nowMs() });
      },
    };
  }

  async #transfer(run: Run, sink: BackupSink): Promise<Saved> {
    const { signal, request, source } = run;
    run.enter('check');
    const options = parseBackupOptions(request);
    const [machine, origin] = await Promise.all([this.#load(source, signal), this.#origin(signal)]);
    const planned = planMachineBackup(machine, options.wish);
    this.#announce(run, machine, planned);
    const { ref, plan } = await this.preparer.prepare(machine, planned, options, {
      identity: { runId: request.savesetId, hostId: this.identity.hostId, startedAtMs: run.startedAtMs },
      cleanup: run.cleanup,
      signal,
      warn: run.warn,
      onSnapshot: () => {
        run.enter('snapshot');
      },
    });
    run.enter('transfer');
    const order = {
      machine: ref,
      title: machine.record.name_label,
      item: ARCHIVE_ITEM,
      expectedBytes: plan.expectedBytes,
      disks: plan.disks,
      forceHttps: options.forceHttps,
      withMemory: plan.withMemory,
      onVerify: () => {
        run.enter('verify');
      },
    };
    const item = await this.exporter.export(order, sink, run.meter, run.cleanup, signal);
    return { item, machine, plan, origin };
  }

  #announce(run: Run, { record }: Machine, plan: MachineBackupPlan): void {
    const excluded = noBackupReason(record.tags);
    if (excluded !== undefined) {
      run.warn('NO_BACKUP_TAG', `"${record.name_label}" is saved because it was named, although ${excluded}.`);
    }
    for (const { code, message } of plan.warnings) run.warn(code, message);
    for (const { name, level, reason, sizeBytes } of plan.disks) {
      const atMs = this.clock.nowMs();
      run.emit({ type: 'level-decided', disk: name, level, reason, expectedBytes: sizeBytes, atMs });
    }
  }

  async #load(source: ResolvedSource, signal: AbortSignal | undefined): Promise<Machine> {
    const options = signal === undefined ? {} : { signal };
    const ref = await this.pool.call<RefOf<'VM'>>('VM.get_by_uuid', [source.id], options);
    return await loadMachine(this.pool, ref, await this.pool.record('VM', ref, options), options);
  }

  /** A clean-up that failed leaves something behind, which a person should know; the backup itself stands. */
  #report({ warn }: Run, failures: readonly CleanupFailure[]): void {
    for (const { what, cause } of failures) {
      const reason = cause instanceof Error ? cause.message : 'unknown';
      warn('LEFTOVER', `The ${what} could not be released: ${reason}. A later reconcile removes it.`);
    }
  }

  async #origin(signal: AbortSignal): Promise<Origin> {
    const [pools, hosts] = await Promise.all([
      this.pool.allRecords('pool', { signal }),
      this.pool.allRecords('host', { signal }),
    ]);
    const pool = [...pools.values()][0];
    return { pool, coordinator: pool === undefined ? undefined : hosts.get(pool.master) };
  }

  #record(run: Run, { item, machine, plan, origin: { pool, coordinator } }: Saved): SavesetRecord {
    const poolName = pool?.name_label ?? '';
    return {
      version: 1,
      savesetId: run.request.savesetId,
      providerId: PROVIDER_ID,
      createdAt: new Date(run.startedAtMs).toISOString(),
      completedAt: new Date(this.clock.nowMs()).toISOString(),
      source: {
        ...toResolvedSource(machine.record),
        originId: pool?.uuid ?? '',
        // A pool of one host has no name of its own; people know it by its host's.
        originName: poolName === '' ? (coordinator?.name_label ?? '') : poolName,
      },
      level: 'full',
      consistency: plan.consistency,
      items: [item],
      disks: [...plan.disks],
      warnings: [...run.warnings],
      moverHost: this.identity.moverHost,
      details: machineDetails(machine, plan, coordinator),
    };
  }
}

function toResolvedSource(machine: VmRecord): ResolvedSource {
  return {
    path: machinePath(machine),
    kind: machineKind(machine),
    id: machine.uuid,
    displayName: machine.name_label,
  };
}
