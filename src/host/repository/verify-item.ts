import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB } from '../../common/byte-size.js';
import { type SavesetItem } from '../../contract/index.js';
import { systemCode } from '../to-host-error.js';

export interface ItemVerdict {
  readonly item: string;
  readonly status: 'ok' | 'missing' | 'unreadable' | 'wrong-size' | 'wrong-digest';
  readonly expectedBytes: number;
  readonly foundBytes: number;
  /** A sentence when the status is not `ok`. */
  readonly message: string | undefined;
}

/** Reads an item again and compares size and SHA-256 with the record. Rejects only when the signal aborts. */
export async function verifyItem(
  folder: string,
  item: SavesetItem,
  signal: AbortSignal | undefined,
  onBytes: (doneBytes: number) => void,
): Promise<ItemVerdict> {
  const verdict = (status: ItemVerdict['status'], foundBytes: number, message?: string): ItemVerdict => ({
    item: item.name,
    status,
    expectedBytes: item.bytes,
    foundBytes,
    message,
  });
  let foundBytes = 0;
  try {
    const handle = await open(join(folder, item.name), constants.O_RDONLY | constants.O_NOFOLLOW);
    const digest = createHash('sha256');
    for await (const chunk of handle.createReadStream({ highWaterMark: MIB, signal }) as AsyncIterable<Buffer>) {
      digest.update(chunk);
      foundBytes += chunk.length;
      onBytes(foundBytes);
    }
    if (foundBytes !== item.bytes) {
      return verdict('wrong-size', foundBytes, `It should have ${item.bytes} bytes and has ${foundBytes}.`);
    }
    if (digest.digest('hex') === item.sha256) return verdict('ok', foundBytes);
    return verdict('wrong-digest', foundBytes, 'Its bytes are not the ones that were saved.');
  } catch (error) {
    signal?.throwIfAborted();
    if (systemCode(error) === 'ENOENT') return verdict('missing', 0, 'The file is not there.');
    return verdict('unreadable', foundBytes, `It cannot be read (${systemCode(error) ?? String(error)}).`);
  }
}
