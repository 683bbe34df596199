import { type SimulatedPool } from '../simulated-pool.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { flagOf, setOf, textOf } from '../wire/wire-value.js';
import { type Exchange } from './handler.js';

/** The SR is plugged at that host. */
export function isPlugged(pool: SimulatedPool, sr: string, host: string): boolean {
  return setOf(pool.store.get('SR', sr), 'PBDs').some((ref) => {
    const pbd = pool.store.find('PBD', ref);
    return pbd !== undefined && textOf(pbd, 'host') === host && flagOf(pbd, 'currently_attached');
  });
}

/** The host that is up and sees all of `srs`: the one asked when it does, else another. Undefined when none does. */
export function hostSeeing(pool: SimulatedPool, srs: readonly string[], preferred: string): string | undefined {
  const seesAll = (host: string): boolean => !pool.downHosts.has(host) && srs.every((sr) => isPlugged(pool, sr, host));
  if (seesAll(preferred)) return preferred;
  return pool.store
    .all('host')
    .map(([ref]) => ref)
    .find(seesAll);
}

/**
 * Sends the client on with a 302 when this host does not see all of `srs` and another does; the query goes along as it
 * came. True when it did: the handler must return. Throws NO_HOSTS_AVAILABLE [] when no host sees them.
 */
export async function redirectFor(exchange: Exchange, srs: readonly string[]): Promise<boolean> {
  const { pool } = exchange;
  const host = hostSeeing(pool, srs, exchange.host);
  if (host === undefined) throw new SimulatedFailure('NO_HOSTS_AVAILABLE');
  if (host === exchange.host) return false;
  const address = textOf(pool.store.get('host', host), 'address');
  const authority = pool.httpsPort === 443 ? address : `${address}:${pool.httpsPort}`;
  await exchange.writeHead([
    'HTTP/1.1 302 Found',
    'Connection: close',
    'Cache-Control: no-cache, no-store',
    `Location: https://${authority}${exchange.path}?${exchange.rawQuery}`,
  ]);
  return true;
}
