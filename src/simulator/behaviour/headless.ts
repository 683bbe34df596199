import { type SimulatedPool } from '../simulated-pool.js';

/** A member whose coordinator is down. */
export function isHeadless(pool: SimulatedPool, host: string): boolean {
  return host !== pool.coordinator && pool.downHosts.has(pool.coordinator);
}

/**
 * A member that was booted without finding its coordinator: it takes hardly any call (facts 9). One that runs on merely
 * does not know what to answer, see {@link untilLed}.
 */
export function isInEmergency(pool: SimulatedPool, host: string): boolean {
  return isHeadless(pool, host) && pool.bootedHeadless.has(host);
}

/**
 * Until the host has a coordinator again or is one itself: so long a member keeps whoever shows it a session of the pool,
 * for it asks the coordinator's database whether that is any good. Rejects with the reason of `signal`.
 */
export function untilLed(pool: SimulatedPool, host: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      if (!signal.aborted && isHeadless(pool, host)) return;
      stop();
      signal.removeEventListener('abort', settle);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve();
    };
    const stop = pool.store.onChange(settle);
    signal.addEventListener('abort', settle);
    settle();
  });
}
