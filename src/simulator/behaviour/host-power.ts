import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, textOf, wireDate } from '../wire/wire-value.js';
import { leaveLogsOpen } from './change-logs.js';
import { isHeadless } from './headless.js';
import { fallBackToSynced } from './synced-database.js';

/**
 * Takes a host off: its connections are cut and its ports refuse new ones until it is back. With the coordinator go the
 * pool's sessions and tasks, which it keeps in memory alone. VMs stay as the database has them: of what a lost host
 * does to them only this is simulated, that the changes of their disks were not tracked to the end.
 */
export function takeHostDown(pool: SimulatedPool, host: string): void {
  pool.downHosts.add(host);
  shutDoors(pool, host);
  setLive(pool, host, false);
  leaveLogsOpen(pool, host);
  if (host !== pool.coordinator) return;
  for (const [session] of pool.store.all('session')) {
    const local = pool.sessions.localHostOf(session);
    if (local === undefined || local === host) pool.sessions.end(session);
  }
  for (const [task] of pool.store.all('task')) pool.tasks.drop(task);
}

/** Lets a host answer again. Rejects when one of its ports has been taken meanwhile. */
export async function bringHostUp(pool: SimulatedPool, host: string): Promise<void> {
  if (!pool.downHosts.has(host)) return;
  await openDoors(pool, host);
  pool.downHosts.delete(host);
  if (isHeadless(pool, host)) pool.bootedHeadless.add(host);
  else if (host === pool.coordinator) pool.bootedHeadless.clear();
  setLive(pool, host, true);
}

/** Boots a host: it is down for the pool's `restartMs`. */
export function restartHost(pool: SimulatedPool, host: string): void {
  takeHostDown(pool, host);
  pool.later(pool.timings.restartMs, () => {
    bringHostUp(pool, host).catch(() => undefined);
  });
}

/** Makes another host the coordinator. Sessions stay good; the old one answers HOST_IS_SLAVE. */
export function promoteHost(pool: SimulatedPool, host: string): void {
  pool.store.get('host', host);
  pool.store.patch('pool', pool.poolEntry[0], { master: host });
}

/**
 * A member takes over from a coordinator that is lost: with the database that it was sent last, after `takeoverMs`. Until
 * then it goes on as a member; in the last eighth of the time its daemon restarts, and nobody gets in.
 */
export function takeOver(pool: SimulatedPool, host: string): void {
  const { takeoverMs } = pool.timings;
  const finish = (): void => {
    fallBackToSynced(pool);
    promoteHost(pool, host);
  };
  if (takeoverMs === 0) {
    finish();
    return;
  }
  pool.later((7 / 8) * takeoverMs, () => {
    shutDoors(pool, host);
  });
  pool.later(takeoverMs, () => {
    openDoors(pool, host).then(finish, () => undefined);
  });
}

function shutDoors(pool: SimulatedPool, host: string): void {
  for (const door of pool.doors.get(host) ?? []) door.shut();
  for (const connection of [...(pool.connections.get(host) ?? [])]) connection.destroy();
}

async function openDoors(pool: SimulatedPool, host: string): Promise<void> {
  await Promise.all([...(pool.doors.get(host) ?? [])].map((door) => door.open()));
}

function setLive(pool: SimulatedPool, host: string, live: boolean): void {
  const metrics = textOf(pool.store.find('host', host) ?? {}, 'metrics');
  const record = pool.store.find('host_metrics', metrics);
  if (record === undefined || flagOf(record, 'live') === live) return;
  pool.store.patch('host_metrics', metrics, { live, last_updated: wireDate(pool.nowMs()) });
}
