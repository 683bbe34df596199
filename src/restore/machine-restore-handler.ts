import { type MachineKind } from '../browser/source-name.js';
import {
  type RestoreMedia,
  type RestorePlan,
  type RestoreReport,
  type RestoreRequest,
  type SavesetRecord,
} from '../contract/index.js';
import { type DiskRestoreRunner } from './disk-restore-runner.js';
import { type MachineRestoreRunner } from './machine-restore-runner.js';
import { type KindRestoreHandler, type RestoreProgressEvent } from './restore-handler.js';

/** Machines of one kind: VMs, or templates, which come back as templates and are never started; or one of their disks. */
export class MachineRestoreHandler implements KindRestoreHandler {
  constructor(
    readonly kind: MachineKind,
    private readonly machines: MachineRestoreRunner,
    private readonly disks: DiskRestoreRunner,
  ) {}

  planRestore(request: RestoreRequest, record: SavesetRecord, signal?: AbortSignal): Promise<RestorePlan> {
    return this.#runnerOf(request).planRestore(request, record, signal);
  }

  restore(
    request: RestoreRequest,
    media: RestoreMedia,
    emit: (event: RestoreProgressEvent) => void,
    signal: AbortSignal,
  ): Promise<RestoreReport> {
    return this.#runnerOf(request).restore(request, media, emit, signal);
  }

  #runnerOf({ mode }: RestoreRequest): MachineRestoreRunner | DiskRestoreRunner {
    return mode === 'disk' ? this.disks : this.machines;
  }
}
