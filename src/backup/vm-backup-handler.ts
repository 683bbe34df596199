import { inject, injectable } from 'inversify';
import {
  type BackupEstimate,
  type BackupReport,
  type BackupRequest,
  type BackupSink,
  type ResolvedSource,
} from '../contract/index.js';
import { type BackupHandler, type BackupProgressEvent } from './backup-handler.js';
import { MachineBackupRunner } from './machine-backup-runner.js';

/** Virtual machines, whatever their power state. */
@injectable()
export class VmBackupHandler implements BackupHandler {
  readonly kind = 'vm';

  constructor(@inject(MachineBackupRunner) private readonly runner: MachineBackupRunner) {}

  resolve(name: string, signal?: AbortSignal): Promise<ResolvedSource | undefined> {
    return this.runner.resolve(this.kind, name, signal);
  }

  expand(pattern: string, signal?: AbortSignal): Promise<readonly ResolvedSource[] | undefined> {
    return this.runner.expand(this.kind, pattern, signal);
  }

  estimate(source: ResolvedSource, request: BackupRequest): Promise<BackupEstimate> {
    return this.runner.estimate(source, request);
  }

  backup(
    source: ResolvedSource,
    request: BackupRequest,
    sink: BackupSink,
    emit: (event: BackupProgressEvent) => void,
    signal: AbortSignal,
  ): Promise<BackupReport> {
    return this.runner.backup(source, request, sink, emit, signal);
  }
}
