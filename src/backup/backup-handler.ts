import { type ServiceIdentifier } from 'inversify';
import {
  type BackupEstimate,
  type BackupEvent,
  type BackupReport,
  type BackupRequest,
  type BackupSink,
  type ResolvedSource,
} from '../contract/index.js';

/** What a backup says before it has finished. */
export type BackupProgressEvent = Exclude<BackupEvent, { type: 'completed' }>;

/** One kind of source. Bound once for each kind; the source asks each whether a name is one of its own. */
export interface BackupHandler {
  readonly kind: string;
  /**
   * What a name stands for; undefined when the name can't be of this kind.
   * @throws {BackupError} OBJECT_NOT_FOUND, OBJECT_AMBIGUOUS, OBJECT_NOT_SUPPORTED.
   */
  resolve(name: string, signal?: AbortSignal): Promise<ResolvedSource | undefined>;
  /**
   * What a pattern stands for, all that fit it; undefined when it is no pattern of this kind. Asked before `resolve`.
   * @throws {BackupError} OBJECT_NOT_FOUND when nothing fits, REQUEST_INVALID.
   */
  expand?(pattern: string, signal?: AbortSignal): Promise<readonly ResolvedSource[] | undefined>;
  estimate(source: ResolvedSource, request: BackupRequest): Promise<BackupEstimate>;
  /**
   * Resolves once everything is on the medium and the pool is as it was before. Rejects only after its clean-up.
   * @param emit called in order, never after the promise has settled.
   */
  backup(
    source: ResolvedSource,
    request: BackupRequest,
    sink: BackupSink,
    emit: (event: BackupProgressEvent) => void,
    signal: AbortSignal,
  ): Promise<BackupReport>;
}

export const BackupHandler = Symbol('BackupHandler') as ServiceIdentifier<BackupHandler>;
