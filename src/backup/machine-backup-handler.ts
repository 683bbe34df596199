import { type MachineKind } from '../browser/source-name.js';
import {
  type BackupEstimate,
  type BackupReport,
  type BackupRequest,
  type BackupSink,
  type ResolvedSource,
} from '../contract/index.js';
import { type BackupHandler, type BackupProgressEvent } from './backup-handler.js';
import { type MachineBackupRunner } from './machine-backup-runner.js';

/**
 * Machines of one kind: VMs, whatever their power state, or templates that were made here. The pool refuses to snapshot a
 * template (facts 3.3), and needs none: it never runs.
 */
export class MachineBackupHandler implements BackupHandler {
  constructor(
    readonly kind: MachineKind,
    private readonly runner: MachineBackupRunner,
  ) {}

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
