import { type ServiceIdentifier } from 'inversify';
import {
  type RestoreEvent,
  type RestoreMedia,
  type RestorePlan,
  type RestoreReport,
  type RestoreRequest,
  type SavesetRecord,
} from '../contract/index.js';

/** What a restore says before it has finished. */
export type RestoreProgressEvent = Exclude<RestoreEvent, { type: 'completed' }>;

/** Brings back one kind of source. Bound once for each kind. */
export interface KindRestoreHandler {
  readonly kind: string;
  planRestore(request: RestoreRequest, record: SavesetRecord, signal?: AbortSignal): Promise<RestorePlan>;
  /**
   * Resolves when what was asked for is there. Rejects only after its clean-up; then the pool is as it was before.
   * @param emit called in order, never after the promise has settled.
   */
  restore(
    request: RestoreRequest,
    media: RestoreMedia,
    emit: (event: RestoreProgressEvent) => void,
    signal: AbortSignal,
  ): Promise<RestoreReport>;
}

export const KindRestoreHandler = Symbol('KindRestoreHandler') as ServiceIdentifier<KindRestoreHandler>;
