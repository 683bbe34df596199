import { randomUUID } from 'node:crypto';
import { inject, injectable } from 'inversify';
import { type CleanupFailure, CleanupStack } from '../common/cleanup-stack.js';
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
import { RedactedLogger } from '../session/redact.js';
import { SourceIdentity } from '../session/source-identity.js';
import { ProgressMeter } from '../transfer/progress-meter.js';
import { DiskAttacher } from './disk-attacher.js';
import { DiskImporter, type ImportedDisk } from './disk-importer.js';
import { type DiskRestoreWish, parseDiskRestore } from './disk-restore-options.js';
import { type DiskRestorePlan, toContractDiskPlan } from './disk-restore-plan.js';
import { DiskRestoreSurvey } from './disk-restore-survey.js';
import { type RestoreProgressEvent } from './restore-handler.js';
import { parseDetails } from './restore-options.js';

/** One restore as it runs. */
interface Run {
  readonly runId: string;
  readonly cleanup: CleanupStack;
  readonly signal: AbortSignal;
  readonly enter: (phase: RestorePhase) => void;
  readonly warn: (code: string, message: string) => void;
}

/** The story of one disk's restore: plan, import, look at it, attach it. */
@injectable()
export class DiskRestoreRunner {
  readonly #logger: HostLogger;

  constructor(
    @inject(DiskRestoreSurvey) private readonly survey: DiskRestoreSurvey,
    @inject(DiskImporter) private readonly importer: DiskImporter,
    @inject(DiskAttacher) private readonly attacher: DiskAttacher,
    @inject(ActiveRuns) private readonly runs: ActiveRuns,
    @inject(SourceIdentity) private readonly identity: SourceIdentity,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(Clock) private readonly clock: Clock,
    @inject(RedactedLogger) logger: HostLogger,
  ) {
    this.#logger = logger.child({ part: 'restore' });
  }

  async planRestore(request: RestoreRequest, record: SavesetRecord, signal?: AbortSignal): Promise<RestorePlan> {
    return toContractDiskPlan(await this.survey.plan(wishOf(request, record), signal));
  }

  async restore(
    request: RestoreRequest,
    media: RestoreMedia,
    emit: (event: RestoreProgressEvent) => void,
    signal: AbortSignal,
  ): Promise<RestoreReport> {
    const startedAtMs = this.clock.nowMs();
    const warnings: { code: string; message: string }[] = [];
    const run: Run = {
      runId: `restore-${randomUUID()}`,
      cleanup: new CleanupStack(),
      signal,
      enter: (phase) => {
        emit({ type: 'phase-entered', phase, atMs: this.clock.nowMs() });
      },
      warn: (code, message) => {
        warnings.push({ code, message });
        this.#logger.warn(message, { code, saveset: media.record.savesetId });
        emit({ type: 'warning', code, message, atMs: this.clock.nowMs() });
      },
    };
    const meter = new ProgressMeter({ emit, clock: this.clock });
    const leave = this.runs.enter(run.runId);
    try {
      run.enter('plan');
      const wish = wishOf(request, media.record);
      run.enter('check');
      const plan = await this.survey.plan(wish, signal);
      run.enter('import');
      const identity = { runId: run.runId, hostId: this.identity.hostId, startedAtMs };
      const imported = await this.importer.import({ plan, run: identity, media, meter, signal }, run.cleanup, () => {
        run.enter('verify');
      });
      await this.#finish(run, plan, imported);
      run.enter('release');
      this.#report(run, await run.cleanup.run());
      return {
        targetId: imported.uuid,
        targetName: wish.name,
        mode: 'disk',
        isRunning: false,
        transferredBytes: meter.transferredBytes,
        elapsedMs: this.clock.nowMs() - startedAtMs,
        dataTransport: dataTransportOf(this.settings, wish.forceHttps),
        warnings,
      };
    } catch (error) {
      this.#report(run, await run.cleanup.run());
      throw error;
    } finally {
      leave();
    }
  }

  /** Its name and the loss of our mark come last: until then it goes when anything fails. */
  async #finish(run: Run, { wish, holder }: DiskRestorePlan, { ref, keep }: ImportedDisk): Promise<void> {
    const { cleanup, signal } = run;
    signal.throwIfAborted();
    if (holder === undefined) {
      await keep();
      return;
    }
    run.enter('configure');
    const attachment = await this.attacher.attach(ref, holder, wish.disk.mode, cleanup, signal);
    signal.throwIfAborted();
    await keep();
    attachment.keep();
    if (attachment.whyNotPlugged !== undefined) {
      run.warn(
        'NOT_PLUGGED',
        `"${holder.record.name_label}" has the disk in place ${attachment.position}, but sees it only after its next start: ${attachment.whyNotPlugged}`,
      );
    }
  }

  #report({ warn }: Run, failures: readonly CleanupFailure[]): void {
    for (const { what, cause } of failures) {
      const reason = cause instanceof Error ? cause.message : 'unknown';
      warn('LEFTOVER', `The ${what} could not be released: ${reason} A later reconcile takes care of it.`);
    }
  }
}

function wishOf(request: RestoreRequest, record: SavesetRecord): DiskRestoreWish {
  return parseDiskRestore(request, record, parseDetails(record));
}
