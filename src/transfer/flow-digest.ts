import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { MIB } from '../common/byte-size.js';
import { DIGEST_WORKER, DigestThread } from './digest-thread.js';
import { type FlowDigest, type FlowDigestEvents } from './flow-digest-interface.js';

export { type FlowDigest, type FlowDigestEvents } from './flow-digest-interface.js';

/** From here on a stream is worth a thread: starting one takes as long as hashing some 30 MiB. */
const THREAD_PAYS_BYTES = 256 * MIB;

/** Threads of this process that hash. */
let threads = 0;

/**
 * On another core for a long stream as long as there is one left, else, and when no thread can be had, on this one.
 * Register its release.
 * @param place how many cores this process may use, and what runs on the thread.
 */
export async function flowDigest(
  expectedBytes: number,
  events: FlowDigestEvents,
  place: { readonly cores?: number; readonly script?: URL } = {},
): Promise<FlowDigest> {
  const { cores = availableParallelism(), script = DIGEST_WORKER } = place;
  if (expectedBytes < THREAD_PAYS_BYTES || threads >= cores - 1) return localDigest();
  threads += 1;
  const onEnded = (): void => {
    threads -= 1;
  };
  try {
    return await DigestThread.start(events, onEnded, script);
  } catch {
    onEnded();
    return localDigest();
  }
}

/** On this thread. */
export function localDigest(): FlowDigest {
  const hash = createHash('sha256');
  return {
    update: (piece) => {
      hash.update(piece);
      return true;
    },
    digest: () => Promise.resolve(hash.digest('hex')),
    release: () => Promise.resolve(),
  };
}
