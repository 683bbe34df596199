import { inject, injectable } from 'inversify';
import { Clock } from '../common/clock.js';
import { type RefOf } from '../xapi/xapi-records.js';
import { PoolConnection } from './pool-connection.js';
import { orAborted } from './session-keeper.js';

/** Within this time a scan is not repeated: the pool keeps the numbers of what it does itself up to date (facts 8). */
const SCAN_LIFETIME_MS = 5 * 60_000;
/** A scan looks at every disk of the storage. */
const SCAN_TIMEOUT_MS = 10 * 60_000;

interface Scan {
  readonly startedAtMs: number;
  readonly done: Promise<unknown>;
}

/** Brings the numbers of storages up to date, each once for all the backups that a source makes one after the other. */
@injectable()
export class StorageScans {
  readonly #scans = new Map<RefOf<'SR'>, Scan>();

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  /**
   * Waits for the scan that runs, starts one when the last is too old.
   * @throws {XapiError} what the pool said to the scan; a failed one is not remembered.
   */
  async refresh(storage: RefOf<'SR'>, signal: AbortSignal): Promise<void> {
    const nowMs = this.clock.nowMs();
    const known = this.#scans.get(storage);
    const scan =
      known !== undefined && nowMs - known.startedAtMs < SCAN_LIFETIME_MS
        ? known
        : { startedAtMs: nowMs, done: this.#scan(storage) };
    this.#scans.set(storage, scan);
    try {
      // Not under the caller's signal: others may wait for the same scan.
      await orAborted(scan.done, signal);
    } catch (error) {
      if (!signal.aborted && this.#scans.get(storage) === scan) this.#scans.delete(storage);
      throw error;
    }
  }

  /** As one plain call: a scan that is made once more does no harm, so it needs no task to be followed. */
  async #scan(storage: RefOf<'SR'>): Promise<void> {
    await this.pool.call('SR.scan', [storage], { timeoutMs: SCAN_TIMEOUT_MS, isIdempotent: true });
  }
}
