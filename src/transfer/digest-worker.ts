import { createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { type DigestAnswer, type DigestOrder } from './digest-thread.js';

/** The other thread of `DigestThread`: takes the filled part of each slot and gives it back. */
const hash = createHash('sha256');

parentPort?.on('message', (order: DigestOrder) => {
  if (order.kind === 'end') {
    answer({ kind: 'digest', sha256: hash.digest('hex') });
    return;
  }
  hash.update(order.slot.subarray(0, order.bytes));
  answer({ kind: 'free', slot: order.slot }, [order.slot.buffer]);
});

answer({ kind: 'ready' });

function answer(message: DigestAnswer, moved: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, moved);
}
