import { randomUUID } from 'node:crypto';
import { inject, injectable } from 'inversify';
import { Clock } from '../common/clock.js';
import {
  type HostLogger,
  type RestoreMedia,
  type RestorePhase,
  type RestorePlan,
  type RestoreReport,
  type RestoreRequest,
  type SavesetRecord,
} from '../contract/index.js';
import { ActiveRuns } from '../session/active-runs.js';
import { ConnectionSettings, dataTransportOf } from '../session/connection-settings.js';
import { OwnObjects } from '../session/own-objects.js';
import { RedactedLogger } from '../session/redact.js';
import { type RunIdentity, temporaryName } from '../session/run-marks.js';
import { SourceIdentity } from '../session/source-identity.js';
import { OperationRun } from '../transfer/operation-run.js';
import { type RefOf } from '../xapi/xapi-records.js';
import { allDisksOf, type Imported, MachineImporter } from './machine-importer.js';
import { assertWhole } from './machine-archive.js';
import { machineState } from './machine-state.js';
import { Overwriter } from './overwriter.js';
import { PowerSwitch } from './power-switch.js';
import { type RestoreProgressEvent } from './restore-handler.js';
import { parseRestoreRequest } from './restore-options.js';
import { type MachineRestorePlan, toContractPlan } from './restore-plan.js';
import { RestoreSurvey } from './restore-survey.js';
import { type ExistingMachine } from './restore-target.js';
import { StateApplier } from './state-applier.js';
import { interfaceSteps } from './state-steps.js';
import { wantedInterfaces, wantedState } from './wanted-state.js';

/** One restore as it runs. */
interface Run {
  readonly operation: OperationRun<RestorePhase>;
  readonly identity: RunIdentity;
  readonly media: RestoreMedia;
}

/** What exists now. */
interface Restored {
  readonly ref: RefOf<'VM'>;
  readonly uuid: string;
}

/** The story of a machine's restore: plan, import, verify, then as a machine of its own or into the existing one. */
@injectable()
export class MachineRestoreRunner {
  readonly #logger: HostLogger;

  constructor(
    @inject(RestoreSurvey) private readonly survey: RestoreSurvey,
    @inject(MachineImporter) private readonly importer: MachineImporter,
    @inject(Overwriter) private readonly overwriter: Overwriter,
    @inject(StateApplier) private readonly states: StateApplier,
    @inject(PowerSwitch) private readonly power: PowerSwitch,
    @inject(OwnObjects) private readonly own: OwnObjects,
    @inject(ActiveRuns) private readonly runs: ActiveRuns,
    @inject(SourceIdentity) private readonly identity: SourceIdentity,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(Clock) private readonly clock: Clock,
    @inject(RedactedLogger) logger: HostLogger,
  ) {
    this.#logger = logger.child({ part: 'restore' });
  }

  async planRestore(request: RestoreRequest, record: SavesetRecord, signal?: AbortSignal): Promise<RestorePlan> {
    return toContractPlan(await this.survey.plan(parseRestoreRequest(request, record), signal));
  }

  async restore(
    request: RestoreRequest,
    media: RestoreMedia,
    emit: (event: RestoreProgressEvent) => void,
    signal: AbortSignal,
  ): Promise<RestoreReport> {
    const operation = new OperationRun<RestorePhase>({
      savesetId: media.record.savesetId,
      emit,
      signal,
      clock: this.clock,
      logger: this.#logger,
      leftoverEnding: ' A later reconcile takes care of it.',
    });
    const { hostId } = this.identity;
    const identity = { runId: `restore-${randomUUID()}`, hostId, startedAtMs: operation.startedAtMs };
    const run = { operation, identity, media };
    operation.cleanup.add('entry among the runs', this.runs.enter(identity.runId));
    // What is left to release at the end are streams, tasks and leases: the result stands.
    const { wish, restored, isRunning } = await operation.complete(async () => {
      operation.enter('plan');
      const wish = parseRestoreRequest(request, media.record);
      operation.enter('check');
      assertWhole({ media, ...wish });
      const plan = await this.survey.plan(wish, signal);
      for (const { code, message } of plan.warnings) operation.warn(code, message);
      const restored = await this.#bring(run, plan);
      return { wish, restored, isRunning: wish.startAfter && (await this.#start(run, plan, restored)) };
    });
    return {
      targetId: restored.uuid,
      targetName: wish.name,
      mode: wish.mode,
      isRunning,
      transferredBytes: operation.meter.transferredBytes,
      elapsedMs: operation.elapsedMs,
      dataTransport: dataTransportOf(this.settings, wish.forceHttps),
      warnings: operation.warnings,
    };
  }

  async #bring(run: Run, plan: MachineRestorePlan): Promise<Restored> {
    const { identity, media, operation } = run;
    const { meter, signal, cleanup, enter } = operation;
    enter('import');
    const { name } = plan.wish;
    const { existing } = plan.target;
    const importName = existing === undefined ? name : temporaryName(identity.runId, name);
    const order = { plan, run: identity, name: importName, media, meter, signal };
    const imported = await this.importer.import(order, cleanup, enter);
    return existing === undefined
      ? await this.#complete(run, plan, imported)
      : await this.#moveInto(run, plan, imported, existing);
  }

  /** The imported machine is what was asked for: it gets its interfaces right and loses our marks. */
  async #complete(run: Run, plan: MachineRestorePlan, { machine, keep }: Imported): Promise<Restored> {
    const { enter, signal } = run.operation;
    enter('configure');
    const steps = interfaceSteps(machineState(machine).interfaces, wantedInterfaces(machine, plan));
    await this.states.apply(machine, steps, signal);
    if (plan.host !== undefined) {
      await this.states.apply(machine, [{ action: 'call', method: 'VM.set_affinity', args: [plan.host.ref] }], signal);
    }
    const { blocked_operations: blocked } = plan.wish.details.machine.keptFields;
    if (Object.keys(blocked).length > 0) {
      await this.states.apply(
        machine,
        [{ action: 'call', method: 'VM.set_blocked_operations', args: [blocked] }],
        signal,
      );
    }
    signal.throwIfAborted();
    // The machine last: until then it says whose it is, and takes its disks with it if we die here.
    for (const disk of allDisksOf(machine)) await this.own.unmark('VDI', disk);
    await this.own.unmark('VM', machine.ref);
    keep();
    return { ref: machine.ref, uuid: machine.record.uuid };
  }

  async #moveInto(
    run: Run,
    plan: MachineRestorePlan,
    { machine, archive, keep }: Imported,
    { ref }: ExistingMachine,
  ): Promise<Restored> {
    const { identity, operation } = run;
    const { signal, cleanup, enter } = operation;
    const forgetStop = await this.#stop(run, plan, ref);
    // A suspended machine does not let go of its disks; its memory can't move and goes here.
    if (machine.record.power_state === 'Suspended') await this.power.stop(machine.ref, 'hard', signal);
    enter('swap');
    const order = {
      existing: ref,
      imported: machine,
      wanted: wantedState(machine, archive, plan, await this.states.load(ref, signal)),
      run: identity,
      onSwapped: () => {
        enter('configure');
      },
      signal,
    };
    const done = await this.overwriter.overwrite(order, cleanup);
    forgetStop();
    keep();
    if (done.left.length > 0) {
      operation.warn('FIELDS_NOT_TAKEN', `The pool keeps these fields in its own way: ${done.left.join(', ')}.`);
    }
    try {
      await this.overwriter.finish(done);
    } catch (cause) {
      operation.warnOfLeftover('old data of the overwritten machine', cause);
    }
    return { ref, uuid: done.journal.machine };
  }

  /** Stops the machine if it runs; until the returned function is called, a failure starts it again. */
  async #stop({ operation }: Run, { wish }: MachineRestorePlan, ref: RefOf<'VM'>): Promise<() => void> {
    const { cleanup, signal } = operation;
    const { record } = await this.states.load(ref, signal);
    if (record.power_state === 'Halted' || wish.stop === undefined) return () => undefined;
    const forget = cleanup.add(`stop of "${record.name_label}"`, () => this.power.start(ref));
    await this.power.stop(ref, wish.stop, signal);
    return forget;
  }

  /** Data that has been restored and checked is not thrown away because a host has no memory left. */
  async #start({ operation }: Run, plan: MachineRestorePlan, { ref }: Restored): Promise<boolean> {
    operation.enter('start');
    try {
      // The plan has looked, but the data took its time.
      const double = plan.wish.macs === 'keep' ? await this.survey.awakeDouble(ref, operation.signal) : undefined;
      if (double !== undefined) {
        operation.warn('NOT_STARTED', `It was not started: "${double.name_label}" runs with one of its MAC addresses.`);
        return false;
      }
      await this.power.start(ref, plan.host?.ref);
      return true;
    } catch (error) {
      operation.warn('NOT_STARTED', `It was restored but does not start: ${reasonOf(error)}`);
      return false;
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown';
}
