import { withDeadline } from '../common/abort.js';
import { type PoolConnection, type PoolMember } from './pool-connection.js';
import { TransportError } from '../xapi/transport-error.js';

/** How long the result of an operation may wait for the name of the new coordinator. */
const ASK_TIMEOUT_MS = 10_000;

/** A warning that belongs to the result of whatever ran meanwhile. */
export interface CoordinatorChange {
  readonly code: 'COORDINATOR_CHANGED';
  readonly message: string;
}

type Watched = Pick<PoolConnection, 'epoch' | 'coordinator'>;

/**
 * Remembers who is the coordinator while something runs. The returned function says whether it is another one by then;
 * it costs nothing when session and address are still the same, and never rejects: it only adds to a result.
 */
export async function watchCoordinator(
  pool: Watched,
  signal: AbortSignal,
): Promise<() => Promise<CoordinatorChange | undefined>> {
  const before = await pool.coordinator({ signal });
  const { epoch } = pool;
  return async () => {
    if (pool.epoch === epoch) return undefined;
    const onTimeout = (): Error => new TransportError('timeout', 'The pool did not say who its coordinator is.');
    const now = await withDeadline([], ASK_TIMEOUT_MS, onTimeout, (limited) =>
      pool.coordinator({ signal: limited }),
    ).catch(() => undefined);
    if (before === undefined || now === undefined || before.uuid === now.uuid) return undefined;
    return {
      code: 'COORDINATOR_CHANGED',
      message: `The pool's coordinator changed from ${nameOf(before)} to ${nameOf(now)} while this ran.`,
    };
  };
}

function nameOf({ name, address }: PoolMember): string {
  return `${name} (${address})`;
}
