import { type FaultAction } from '../faults.js';
import { findObject } from '../lookup.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { bringHostUp, promoteHost, takeHostDown } from './host-power.js';
import { fillStorage } from './pool-actions.js';

/** Where a fault strikes. */
export interface FaultPlace {
  readonly pool: SimulatedPool;
  /** Reference of the host that was asked. */
  readonly host: string;
  readonly session: string;
}

/** When, in the course of a call or transfer. */
export type FaultMoment = 'before' | 'after';

/** Does what the faults of a call or transfer do to the pool itself at that moment. */
export function strike(actions: readonly FaultAction[], place: FaultPlace, moment: FaultMoment): void {
  for (const action of actions) {
    if ('atByte' in action && action.atByte !== undefined) continue;
    const isAfter = 'kill' in action && action.afterWork === true;
    if (isAfter === (moment === 'after')) strikeOnce(action, place);
  }
}

/** Does what one fault does to the pool; nothing for those that concern the bytes or the answer. */
export function strikeOnce(action: FaultAction, { pool, host, session }: FaultPlace): void {
  if ('expireSession' in action) pool.sessions.end(session);
  if ('fillStorage' in action) fillStorage(pool, findObject(pool, 'SR', action.fillStorage));
  if (!('kill' in action)) return;
  const victim = action.kill === 'coordinator' ? pool.coordinator : host;
  const heir = action.promote === undefined ? undefined : findObject(pool, 'host', action.promote);
  takeHostDown(pool, victim);
  if (heir !== undefined) promoteHost(pool, heir);
  if (action.backAfterMs === undefined) return;
  pool.later(action.backAfterMs, () => {
    bringHostUp(pool, victim).catch(() => undefined);
  });
}
