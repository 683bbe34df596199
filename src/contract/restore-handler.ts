import { type Observable } from 'rxjs';
import { type RestoreEvent } from './events.js';
import { type RestoreMedia } from './media.js';
import { type RestorePlan, type RestoreRequest } from './requests.js';
import { type SavesetRecord } from './saveset-record.js';

/**
 * Brings savesets of certain kinds back. `planRestore` changes nothing; `restore` is cold: it starts on subscription,
 * and unsubscribing cancels it (its clean-up runs on; closing the source waits for it).
 */
export interface RestoreHandler {
  readonly id: string;
  /** Kinds of source (`SavesetRecord.source.kind`) that it restores. */
  readonly kinds: readonly string[];
  planRestore(request: RestoreRequest, record: SavesetRecord): Promise<RestorePlan>;
  restore(request: RestoreRequest, media: RestoreMedia): Observable<RestoreEvent>;
}
