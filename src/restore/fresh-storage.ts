import { repeatLostStep } from '../session/lost-step.js';
import { type PoolConnection } from '../session/pool-connection.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { type RefOf, type SrRecord } from '../xapi/xapi-records.js';
import { type PlacesWish, storagesInQuestion } from './disk-places.js';
import { chooseStorage, type StorageSituation } from './storage-choice.js';

/**
 * The numbers of a storage are as old as its last scan (facts 8). A storage that nobody named and that can't be scanned is
 * no choice.
 */
export async function freshStorage(
  pool: PoolConnection,
  wish: Pick<PlacesWish, 'disks' | 'rules' | 'storage'>,
  situation: StorageSituation,
  signal?: AbortSignal,
): Promise<StorageSituation> {
  const options = signal === undefined ? {} : { signal };
  const named = new Set([...wish.rules.map(({ to }) => to), ...(wish.storage === undefined ? [] : [wish.storage])]);
  const wanted = new Set([...named].map((name) => chooseStorage(name, situation).ref));
  const attached = new Set(situation.attached);
  const fresh = await Promise.all(
    [...storagesInQuestion(wish, situation)].map(async (ref): Promise<readonly [RefOf<'SR'>, SrRecord][]> => {
      try {
        await repeatLostStep(pool, options, () => pool.callTask('SR.scan', [ref], options));
        return [[ref, await pool.record('SR', ref, options)]];
      } catch (error) {
        const isOnlyOriginal = !wanted.has(ref) && ref !== situation.defaultStorage;
        if (!isXapiError(error) || !isOnlyOriginal) throw error;
        attached.delete(ref);
        return [];
      }
    }),
  );
  return { ...situation, attached, storages: new Map([...situation.storages, ...fresh.flat()]) };
}
