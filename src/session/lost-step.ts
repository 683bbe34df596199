import { BackupError, isBackupError } from '../contract/backup-error.js';
import { type BackupSink } from '../contract/media.js';
import { TASK_LOST } from '../xapi/task-follower.js';
import { isTransportError } from '../xapi/transport-error.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { EMERGENCY_CODES } from './call-recovery.js';
import { type PoolConnection } from './pool-connection.js';

/** A pool that loses its coordinator again and again is no place for a long transfer. */
const MAX_REPEATS = 2;

export interface StepOrder {
  /** Absent: a step that nobody may cancel, as those of a clean-up. */
  readonly signal?: AbortSignal;
  /** Takes away what the lost attempt may have made, before the next one. */
  readonly undo?: () => Promise<unknown>;
  /** Asked after a failure; false: it can't be done anew. */
  readonly mayRepeat?: () => boolean;
}

type Pool = Pick<PoolConnection, 'epoch' | 'call'>;

/**
 * Does a step; when it went down with the pool's coordinator, it is done anew with the next one. A step that fails while
 * the coordinator stays is not repeated: that is the host's to decide.
 */
export async function repeatLostStep<T>(pool: Pool, order: StepOrder, step: () => Promise<T>): Promise<T> {
  const { signal, undo, mayRepeat = () => true } = order;
  for (let repeats = 0; ; repeats += 1) {
    const { epoch } = pool;
    try {
      return await step();
    } catch (error) {
      if (signal?.aborted === true || !mayBeLost(error)) throw error;
      // A transfer breaks before the control channel knows why: this call waits until there is a coordinator again.
      const isThere = await pool.call('pool.get_all', [], signal === undefined ? {} : { signal }).then(
        () => true,
        () => false,
      );
      signal?.throwIfAborted();
      if (isThere && pool.epoch === epoch) throw error;
      if (!isThere || repeats === MAX_REPEATS || !mayRepeat()) throw asLost(error);
      await undo?.();
    }
  }
}

/**
 * The same for a step that brings an item to the medium. A medium that takes an item only once has it repeated as long
 * as the item was not opened.
 */
export async function repeatLostTransfer<T>(
  pool: Pool,
  sink: BackupSink,
  signal: AbortSignal,
  transfer: (sink: BackupSink) => Promise<T>,
): Promise<T> {
  let isOpened = false;
  const { maxOpenItems, keepsNoBuffers = false } = sink;
  const watched: BackupSink = {
    maxOpenItems,
    keepsNoBuffers,
    openItem: (item, itemSignal) => {
      isOpened = true;
      return sink.openItem(item, itemSignal);
    },
  };
  const mayRepeat = (): boolean => !isOpened || sink.canReopenItems === true;
  return await repeatLostStep(pool, { signal, mayRepeat }, () => transfer(watched));
}

/** Data that ends too early because its sender is gone is not damaged. */
function asLost(error: unknown): unknown {
  if (!isBackupError(error) || error.code !== 'DATA_DAMAGED') return error;
  return new BackupError('TRANSFER_INTERRUPTED', "The pool's coordinator went in the middle of a transfer.", {
    hint: 'Run it again when the pool has a coordinator.',
    isRetriable: true,
    cause: error,
  });
}

/** True for what a step fails with when the coordinator goes: nobody knows what became of it. */
function mayBeLost(error: unknown): boolean {
  return (
    isTransportError(error, 'interrupted', 'timeout', 'unreachable') ||
    isXapiError(
      error,
      TASK_LOST,
      'SESSION_INVALID',
      'HOST_IS_SLAVE',
      'CLIENT_ERROR',
      'HOST_OFFLINE',
      ...EMERGENCY_CODES,
    ) ||
    (isBackupError(error) && (error.code === 'TRANSFER_INTERRUPTED' || error.code === 'DATA_DAMAGED'))
  );
}
