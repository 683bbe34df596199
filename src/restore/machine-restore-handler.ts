import { type MachineKind } from '../browser/source-name.js';
import {
  type RestoreMedia,
  type RestorePlan,
  type RestoreReport,
  type RestoreRequest,
  type SavesetRecord,
} from '../contract/index.js';
import { type MachineRestoreRunner } from './machine-restore-runner.js';
import { type KindRestoreHandler, type RestoreProgressEvent } from './restore-handler.js';

/** Machines of one kind: VMs, or templates, which come back as templates and are never started. */
export class MachineRestoreHandler implements KindRestoreHandler {
  constructor(
    readonly kind: MachineKind,
    private readonly runner: MachineRestoreRunner,
  ) {}

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
