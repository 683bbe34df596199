import { type SimulatedPool } from '../simulated-pool.js';
import { textOf } from '../wire/wire-value.js';
import { contentOf, updateVdiSpace } from './disks.js';
import { refreshSrSpace, roomIn, storageCondition, watchRoom } from './sr-space.js';

/** What a guest writes to its disk. Throws VDI_IO_ERROR past its end, and when thin storage has filled up. */
export function writeToDisk(pool: SimulatedPool, vdi: string, offset: number, data: Buffer): void {
  const content = contentOf(pool, vdi);
  const assertRoom = watchRoom(pool, vdi, content);
  content.write(offset, data);
  updateVdiSpace(pool, vdi);
  assertRoom();
}

/** The space that something else than the pool's disks takes on an SR; the record tells with the next scan. */
export function setForeignUsage(pool: SimulatedPool, sr: string, bytes: number): void {
  pool.store.get('SR', sr);
  pool.storage.set(sr, { ...storageCondition(pool, sr), foreignBytes: bytes });
}

/** Something else takes all the room that is left on an SR, or all but `roomBytes`. */
export function fillStorage(pool: SimulatedPool, sr: string, roomBytes = 0): void {
  const room = roomIn(pool, sr);
  if (!Number.isFinite(room)) return;
  setForeignUsage(pool, sr, storageCondition(pool, sr).foreignBytes + room - roomBytes);
  if (!storageCondition(pool, sr).isStale) refreshSrSpace(pool, sr);
}

/** Ends every session, or those that this user opened. Returns how many there were. */
export function expireSessions(pool: SimulatedPool, username?: string): number {
  const ended = pool.store
    .all('session')
    .filter(([, record]) => username === undefined || textOf(record, 'auth_user_name') === username);
  for (const [ref] of ended) pool.sessions.end(ref);
  return ended.length;
}
