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
import { RedactedLogger } from '../session/redact.js';
import { SourceIdentity } from '../session/source-identity.js';
import { OperationRun } from '../transfer/operation-run.js';
import { DiskAttacher } from './disk-attacher.js';
import { DiskImporter, type ImportedDisk } from './disk-importer.js';
import { type DiskRestoreWish, parseDiskRestore } from './disk-restore-options.js';
import { type DiskRestorePlan, toContractDiskPlan } from './disk-restore-plan.js';
import { DiskRestoreSurvey } from './disk-restore-survey.js';
import { type RestoreProgressEvent } from './restore-handler.js';
import { parseDetails } from './restore-options.js';

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
    const runId = `restore-${randomUUID()}`;
    const run = new OperationRun<RestorePhase>({
      savesetId: media.record.savesetId,
      emit,
      signal,
      clock: this.clock,
      logger: this.#logger,
      leftoverEnding: ' A later reconcile takes care of it.',
    });
    const { cleanup, meter, startedAtMs } = run;
    cleanup.add('entry among the runs', this.runs.enter(runId));
    const { wish, imported } = await run.complete(async () => {
      run.enter('plan');
      const wish = wishOf(request, media.record);
      run.enter('check');
      const plan = await this.survey.plan(wish, signal);
      run.enter('import');
      const identity = { runId, hostId: this.identity.hostId, startedAtMs };
      const imported = await this.importer.import({ plan, run: identity, media, meter, signal }, cleanup, () => {
        run.enter('verify');
      });
      await this.#finish(run, plan, imported);
      return { wish, imported };
    });
    return {
      targetId: imported.uuid,
      targetName: wish.name,
      mode: 'disk',
      isRunning: false,
      transferredBytes: meter.transferredBytes,
      elapsedMs: run.elapsedMs,
      dataTransport: dataTransportOf(this.settings, wish.forceHttps),
      warnings: run.warnings,
    };
  }

  /** Its name and the loss of our mark come last: until then it goes when anything fails. */
  async #finish(
    run: OperationRun<RestorePhase>,
    { wish, holder }: DiskRestorePlan,
    { ref, keep }: ImportedDisk,
  ): Promise<void> {
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
}

function wishOf(request: RestoreRequest, record: SavesetRecord): DiskRestoreWish {
  return parseDiskRestore(request, record, parseDetails(record));
}
