import { type Observable } from 'rxjs';
import { type BackupEvent, type RestoreEvent } from './events.js';
import { type BackupSink, type RestoreMedia } from './media.js';
import {
  type BackupEstimate,
  type BackupRequest,
  type CheckLine,
  type ReconcileReport,
  type ResolvedSource,
  type RestorePlan,
  type RestoreRequest,
} from './requests.js';
import { type SavesetRecord } from './saveset-record.js';
import { type SourceBrowser } from './source-browser.js';

/**
 * One configured client, open.
 *
 * ```
 * provider.open ─▶ ┌ check · resolve · estimate · browser.list      many, any time, change nothing
 *                  │ backup ─▶ events … completed ─▶ settle          many; settle once for each saveset
 *                  │ planRestore · restore ─▶ events … completed     many
 *                  │ reconcile                                       any time; removes only what is ours and dead
 *                  └ close                                           once; waits for clean-ups, then logs out
 * ```
 *
 * Every method rejects or errors with `BackupError` and nothing else. After `close` every call fails with REQUEST_INVALID.
 */
export interface BackupSource {
  readonly browser: SourceBrowser;
  /** Looks at everything a backup or restore will need. Never rejects for a finding: findings are lines. */
  check(signal?: AbortSignal): Promise<readonly CheckLine[]>;
  /**
   * What the given names stand for, now. A name must fit exactly one object; a pattern of the provider may fit several,
   * each of which is then saved by a request of its own.
   * @throws {BackupError} OBJECT_NOT_FOUND, OBJECT_AMBIGUOUS (with the candidates), OBJECT_NOT_SUPPORTED.
   */
  resolve(names: readonly string[], signal?: AbortSignal): Promise<readonly ResolvedSource[]>;
  estimate(request: BackupRequest): Promise<BackupEstimate>;
  /**
   * Cold: starts on subscription, once for each subscription. Ends with `completed`, whose report carries the record to
   * store. Cancelled by the request's signal (errors with CANCELLED when clean) or by unsubscribing.
   */
  backup(request: BackupRequest, sink: BackupSink): Observable<BackupEvent>;
  /**
   * The host's word on a completed backup: `stored` once record and items are durable, `discarded` when they are not.
   * Only `stored` moves the base of later increments. Repeating it does nothing.
   */
  settle(record: SavesetRecord, outcome: 'stored' | 'discarded'): Promise<void>;
  /** What a restore would do, without doing it. Refusals are the same as those of `restore`. */
  planRestore(request: RestoreRequest, record: SavesetRecord): Promise<RestorePlan>;
  restore(request: RestoreRequest, media: RestoreMedia): Observable<RestoreEvent>;
  /** Finds and removes what a crashed run left behind. Touches only what carries our marks and whose run is dead. */
  reconcile(signal?: AbortSignal): Promise<ReconcileReport>;
  close(): Promise<void>;
}
