import { inject, injectable } from 'inversify';
import {
  disksOf,
  findAgain,
  type FoundMachine,
  loadMachine,
  type Machine,
  type MachinePlace,
  placeOf,
} from '../browser/machine.js';
import { isUuid, machineKind, type MachineKind, parseMachineName, resolveMachine } from '../browser/source-name.js';
import { noBackupReason, parseMachinePattern, selectMachines } from '../browser/selection.js';
import { Clock } from '../common/clock.js';
import {
  type BackupEstimate,
  type BackupPhase,
  type BackupReport,
  type BackupRequest,
  type BackupSink,
  type HostLogger,
  type LevelDecided,
  type ResolvedSource,
  type SavesetRecord,
} from '../contract/index.js';
import { ActiveRuns } from '../session/active-runs.js';
import { type CallOptions, PoolConnection } from '../session/pool-connection.js';
import { RedactedLogger } from '../session/redact.js';
import { SourceIdentity } from '../session/source-identity.js';
import { OperationRun } from '../transfer/operation-run.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { type RefOf } from '../xapi/xapi-records.js';
import { type BackupProgressEvent } from './backup-handler.js';
import { type BackupOptions, parseBackupOptions } from './backup-options.js';
import { BaseKeeper } from './base-keeper.js';
import { chooseDisks, type ChosenMachine } from './disk-choice.js';
import { type DiskLevel, fallbackSentence, fallbacksOf, refuseFallbacks } from './level-plan.js';
import { LevelPlanner, type PlannedLevels } from './level-planner.js';
import { estimateOf, type MachineBackupPlan, planMachineBackup } from './machine-backup-plan.js';
import { MachineContentExporter, type SavedContent } from './machine-content-exporter.js';
import { MachinePreparer } from './machine-preparer.js';
import { machineRecord, type Origin, toResolvedSource } from './machine-record.js';

/** One backup as it runs. */
interface Run {
  readonly operation: OperationRun<BackupPhase>;
  readonly request: BackupRequest;
  readonly source: ResolvedSource;
  readonly emit: (event: BackupProgressEvent) => void;
}

/** What has been looked at before anything is made in the pool. */
interface Survey {
  readonly options: BackupOptions;
  /** Without the disks that are left out. */
  readonly chosen: ChosenMachine;
  readonly origin: Origin;
  readonly levels: PlannedLevels;
  readonly plan: MachineBackupPlan;
}

/** The story of a machine's backup: resolve, check, bring to rest, transfer, verify, release. */
@injectable()
export class MachineBackupRunner {
  readonly #logger: HostLogger;
  /** What a source was when it was resolved: its backup begins with that. */
  readonly #resolved = new WeakMap<ResolvedSource, FoundMachine>();
  /** Where a machine was found when its name was looked up, by UUID: a host looks up a name, and then saves a path. */
  readonly #places = new Map<string, MachinePlace>();

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(MachinePreparer) private readonly preparer: MachinePreparer,
    @inject(LevelPlanner) private readonly planner: LevelPlanner,
    @inject(BaseKeeper) private readonly bases: BaseKeeper,
    @inject(MachineContentExporter) private readonly exporter: MachineContentExporter,
    @inject(ActiveRuns) private readonly runs: ActiveRuns,
    @inject(SourceIdentity) private readonly identity: SourceIdentity,
    @inject(Clock) private readonly clock: Clock,
    @inject(RedactedLogger) logger: HostLogger,
  ) {
    this.#logger = logger.child({ part: 'backup' });
  }

  /** The machine of this kind that a name stands for; undefined when the name means the other kind. */
  async resolve(kind: MachineKind, name: string, signal?: AbortSignal): Promise<ResolvedSource | undefined> {
    const { kind: wanted, text } = parseMachineName(name);
    if (wanted !== undefined && wanted !== kind) return undefined;
    const machines = await this.#candidates(text, signal === undefined ? {} : { signal });
    const record = resolveMachine(
      name,
      machines.map((one) => one.record),
    );
    if (machineKind(record) !== kind) return undefined;
    const source = toResolvedSource(record);
    const found = machines.find((one) => one.record === record);
    if (found !== undefined) {
      this.#resolved.set(source, found);
      this.#places.set(record.uuid.toLowerCase(), placeOf(found));
    }
    return source;
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
    const signal = request.signal ?? new AbortController().signal;
    const { chosen, levels, plan } = await this.#survey(source, request, signal);
    const costs = await this.planner.costs(levels, disksOf(chosen.machine), request.history ?? [], signal);
    return estimateOf(source, plan, levels.plan, costs);
  }

  async backup(
    source: ResolvedSource,
    request: BackupRequest,
    sink: BackupSink,
    emit: (event: BackupProgressEvent) => void,
    signal: AbortSignal,
  ): Promise<BackupReport> {
    const operation = new OperationRun<BackupPhase>({
      savesetId: request.savesetId,
      emit,
      signal,
      clock: this.clock,
      logger: this.#logger,
      leftoverEnding: '. A later reconcile removes it.',
    });
    const run = { operation, request, source, emit };
    operation.cleanup.add('entry among the runs', this.runs.enter(request.savesetId));
    const { saved, survey } = await operation.complete(() => this.#transfer(run, sink));
    return {
      record: this.#record(run, saved, survey),
      transferredBytes: operation.meter.transferredBytes,
      elapsedMs: operation.elapsedMs,
      dataTransport: saved.transport,
    };
  }

  async #transfer(run: Run, sink: BackupSink): Promise<{ saved: SavedContent; survey: Survey }> {
    const { operation, request, source } = run;
    const { cleanup, enter, meter, signal, startedAtMs, warn } = operation;
    enter('check');
    const survey = await this.#survey(source, request, signal, async (machine) => {
      const disks = new Set<string>(disksOf(machine).map(({ medium }) => medium.ref));
      await this.bases.finish(machine.ref, disks, request.history ?? [], signal);
    });
    const { options, chosen, levels, plan: planned } = survey;
    const { machine } = chosen;
    const { name_label: machineName } = machine.record;
    const onFallback = (fallback: DiskLevel): void => {
      if (options.onFullFallback === 'fail') refuseFallbacks(machineName, [fallback]);
      if (options.onFullFallback === 'warn') warn('FULL_FALLBACK', fallbackSentence(fallback));
    };
    const fallbacks = fallbacksOf(levels.plan);
    if (options.onFullFallback === 'fail' && fallbacks.length > 0) refuseFallbacks(machineName, fallbacks);
    fallbacks.forEach(onFallback);
    this.#announce(run, survey);
    const isChain = levels.plan.form === 'disks';
    const startedTracking = isChain ? await this.planner.track(levels, signal) : new Set<string>();
    const identity = { runId: request.savesetId, hostId: this.identity.hostId, startedAtMs };
    const { ref, plan } = await this.preparer.prepare(machine, planned, options, {
      identity,
      cleanup,
      signal,
      warn,
      onSnapshot: () => {
        enter('snapshot');
      },
    });
    enter('transfer');
    const onVerify = (): void => {
      enter('verify');
    };
    const tools = { sink, meter, cleanup, signal };
    const order = { ref, plan, options, levels, machineName, run: identity, startedTracking, onVerify, onFallback };
    const onDecided = (event: Omit<LevelDecided, 'atMs'>): void => {
      run.emit({ ...event, atMs: this.clock.nowMs() });
    };
    return { saved: await this.exporter.export({ ...order, onDecided }, tools), survey };
  }

  /**
   * All that is decided before anything is made. Changes nothing but what `settle` does: it runs once it is known that the
   * machine's disks are to be saved one by one, and before its bases are looked at.
   */
  async #survey(
    source: ResolvedSource,
    request: BackupRequest,
    signal: AbortSignal,
    settle?: (machine: Machine) => Promise<void>,
  ): Promise<Survey> {
    const options = parseBackupOptions(request);
    const [machine, { pool, hosts }] = await Promise.all([
      this.#load(source, signal),
      this.pool.poolAndHosts({ signal }),
    ]);
    const origin = { pool, coordinator: pool === undefined ? undefined : hosts.get(pool.master) };
    const chosen = chooseDisks(machine, options.choice);
    const question = {
      machine: chosen.machine,
      subject: { kind: source.kind, id: source.id, originId: origin.pool?.uuid ?? '' },
      wish: options.levels,
      history: request.history ?? [],
      pool: origin.pool,
      forceHttps: options.forceHttps,
    };
    if (this.planner.formOf(question) === 'disks') await settle?.(machine);
    const levels = await this.planner.plan(question, signal);
    const content = { form: levels.plan.form, excluded: chosen.left.map(({ medium }) => medium.ref) };
    const plan = planMachineBackup(chosen.machine, options.wish, content);
    return { options, chosen, origin, levels, plan };
  }

  #announce({ operation, emit }: Run, { chosen, plan, levels }: Survey): void {
    const { record } = chosen.machine;
    const excluded = noBackupReason(record.tags);
    if (excluded !== undefined) {
      operation.warn('NO_BACKUP_TAG', `"${record.name_label}" is saved because it was named, although ${excluded}.`);
    }
    for (const { code, message } of plan.warnings) operation.warn(code, message);
    if (disksOf(chosen.machine).length === 0 && chosen.excluded.some(({ by }) => by === 'request')) {
      operation.warn('NO_DISK_SAVED', `The request leaves all disks of "${record.name_label}" out: no data is saved.`);
    }
    // What an increment costs is known once its snapshot is there.
    if (levels.plan.form === 'disks') return;
    for (const { name, level, reason, sizeBytes } of plan.disks) {
      const atMs = this.clock.nowMs();
      emit({ type: 'level-decided', disk: name, level, reason, expectedBytes: sizeBytes, atMs });
    }
  }

  async #load(source: ResolvedSource, signal: AbortSignal | undefined): Promise<Machine> {
    const options = signal === undefined ? {} : { signal };
    const found = this.#resolved.get(source) ?? (await this.#byUuid(source.id, options));
    return await loadMachine(this.pool, found, options);
  }

  /** A UUID asks for its machine alone: a pool may have thousands. One that is none may still be somebody's name. */
  async #candidates(text: string, options: CallOptions): Promise<readonly FoundMachine[]> {
    if (isUuid(text)) {
      try {
        return [await this.#byUuid(text.toLowerCase(), options)];
      } catch (error) {
        if (!isXapiError(error, 'UUID_INVALID', 'HANDLE_INVALID')) throw error;
      }
    }
    return [...(await this.pool.allRecords('VM', options))].map(([ref, record]) => ({ ref, record }));
  }

  async #byUuid(uuid: string, options: CallOptions): Promise<FoundMachine> {
    const place = this.#places.get(uuid);
    const again = place === undefined ? undefined : await findAgain(this.pool, place, options);
    if (again?.record.uuid.toLowerCase() === uuid) return again;
    const ref = await this.pool.call<RefOf<'VM'>>('VM.get_by_uuid', [uuid], options);
    return { ref, record: await this.pool.record('VM', ref, options) };
  }

  #record({ request, operation }: Run, saved: SavedContent, { chosen, origin }: Survey): SavesetRecord {
    const { moverHost } = this.identity;
    const { savesetId } = request;
    const { startedAtMs, warnings } = operation;
    const completedAtMs = this.clock.nowMs();
    return machineRecord({ savesetId, startedAtMs, completedAtMs, moverHost, warnings, saved, chosen, ...origin });
  }
}
