import { type SimulatedPool } from '../simulated-pool.js';
import { textOf, wireDate } from '../wire/wire-value.js';

const PRIORITY = 5;
/** More than this and the oldest go, as with XAPI's default limit. */
const MAX_MESSAGES = 10_000;

/** Puts a line into the pool's list of messages, such as `VM_SNAPSHOTTED` for every snapshot. */
export function postMessage(pool: SimulatedPool, name: string, cls: string, ref: string, body: string): string {
  const uuid = textOf(pool.store.get(cls, ref), 'uuid');
  return createMessage(pool, { name, priority: PRIORITY, cls, obj_uuid: uuid, body });
}

/** A message about a VM; `what` follows its name and uuid. */
export function postVmMessage(pool: SimulatedPool, name: string, vm: string, what: string): void {
  const record = pool.store.get('VM', vm);
  postMessage(pool, name, 'VM', vm, `VM '${textOf(record, 'name_label')}' (uuid: ${textOf(record, 'uuid')}) ${what}`);
}

export interface NewMessage {
  readonly name: string;
  readonly priority: number;
  readonly cls: string;
  readonly obj_uuid: string;
  readonly body: string;
}

export function createMessage(pool: SimulatedPool, message: NewMessage): string {
  const [oldest] = pool.store.all('message');
  if (oldest !== undefined && pool.store.count('message') >= MAX_MESSAGES) pool.store.destroy('message', oldest[0]);
  return pool.store.create('message', { ...message, timestamp: wireDate(pool.nowMs()) });
}
