import { type Fields, type RecordStore } from '../record-store.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { textOf, type XapiRecord } from '../wire/wire-value.js';
import { createVdi } from './disks.js';

/** Kept by each coordinator for itself, or true of a host whatever a database says. */
const NOT_SYNCED = new Set(['session', 'task', 'message', 'host_metrics']);

/** Sends the database to the members, for the day when one of them must do without the coordinator. */
export function syncDatabase(pool: SimulatedPool): void {
  const classes = [...pool.datamodel.classes.keys()].filter((cls) => !NOT_SYNCED.has(cls));
  pool.syncedDatabase = new Map(classes.map((cls) => [cls, new Map(pool.store.all(cls))]));
}

/**
 * A member takes over with the database that it was sent last: what was made since then is not known any more, what was
 * changed is as it was. Disks stay where they lie, and the next scan of their storage finds them. Without any
 * {@link syncDatabase} before, nothing is lost.
 */
export function fallBackToSynced(pool: SimulatedPool): void {
  const { store, syncedDatabase: synced } = pool;
  if (synced === undefined) return;
  for (const [cls, records] of synced) {
    for (const [ref, record] of store.all(cls)) {
      if (records.has(ref)) continue;
      if (cls === 'VDI') rememberDisk(pool, ref, record);
      store.destroy(cls, ref);
    }
  }
  for (const [cls, records] of synced) for (const [ref, record] of records) bringBack(store, cls, ref, record);
  for (const [cls, records] of synced) {
    for (const [ref, record] of records) if (store.has(cls, ref)) store.patch(cls, ref, record);
  }
}

/** A disk that was destroyed is gone from its storage, whatever the database says. */
function bringBack(store: RecordStore, cls: string, ref: string, record: XapiRecord): void {
  if (cls !== 'VDI' && !store.has(cls, ref)) store.create(cls, record, ref);
}

function rememberDisk(pool: SimulatedPool, ref: string, record: XapiRecord): void {
  const content = pool.contents.get(ref);
  pool.contents.delete(ref);
  if (content === undefined) return;
  pool.unknownDisks = [...pool.unknownDisks, { sr: textOf(record, 'SR'), record, content }];
}

/** Gives the disks of a storage that no record tells of new records, with their uuids. */
export function findUnknownDisks(pool: SimulatedPool, sr: string): void {
  const found = pool.unknownDisks.filter((disk) => disk.sr === sr);
  pool.unknownDisks = pool.unknownDisks.filter((disk) => disk.sr !== sr);
  for (const { record, content } of found) {
    const fields: Fields = { uuid: textOf(record, 'uuid'), location: textOf(record, 'location'), type: 'user' };
    const ref = createVdi(pool, { SR: sr, virtual_size: content.sizeBytes, fields });
    pool.contents.set(ref, content);
  }
}
