import { inject, injectable } from 'inversify';
import {
  type RestoreMedia,
  type RestorePlan,
  type RestoreReport,
  type RestoreRequest,
  type SavesetRecord,
} from '../contract/index.js';
import { MachineRestoreRunner } from './machine-restore-runner.js';
import { type KindRestoreHandler, type RestoreProgressEvent } from './restore-handler.js';

/** Templates: they come back as templates, and are never started. */
@injectable()
export class TemplateRestoreHandler implements KindRestoreHandler {
  readonly kind = 'template';

  constructor(@inject(MachineRestoreRunner) private readonly runner: MachineRestoreRunner) {}

  planRestore(request: RestoreRequest, record: SavesetRecord, signal?: AbortSignal): Promise<RestorePlan> {
    return this.runner.planRestore(request, record, signal);
  }

  restore(
    request: RestoreRequest,
    media: RestoreMedia,
    emit: (event: RestoreProgressEvent) => void,
    signal: AbortSignal,
  ): Promise<RestoreReport> {
    return this.runner.restore(request, media, emit, signal);
  }
}
