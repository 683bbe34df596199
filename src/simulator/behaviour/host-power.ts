import { type SimulatedPool } from '../simulated-pool.js';

/**
 * Boots a host: its connections are cut and nobody gets a new one for a while. Sessions and tasks are not kept over a
 * boot of the coordinator. VMs go on as they are: what a boot does to them is not simulated.
 */
export function restartHost(pool: SimulatedPool, host: string): void {
  pool.restartingHosts.add(host);
  for (const connection of [...(pool.connections.get(host) ?? [])]) connection.destroy();
  if (host === pool.coordinator) {
    for (const [session] of pool.store.all('session')) pool.sessions.end(session);
    for (const [task] of pool.store.all('task')) pool.store.destroy('task', task);
  }
  pool.later(pool.timings.restartMs, () => pool.restartingHosts.delete(host));
}
