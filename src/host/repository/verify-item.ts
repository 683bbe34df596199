import { createHash } from 'node:crypto';
import { MIB } from '../../common/byte-size.js';
import { isBackupError, type SavesetItem } from '../../contract/index.js';
import { systemCode } from '../to-host-error.js';
import { findItemFile } from './find-item-file.js';
import { packerFor } from './item-compression.js';
import { unpackedFrom } from './packed-item.js';

export interface ItemVerdict {
  readonly item: string;
  readonly status: 'ok' | 'missing' | 'unreadable' | 'wrong-size' | 'wrong-digest';
  readonly expectedBytes: number;
  readonly foundBytes: number;
  /** A sentence when the status is not `ok`. */
  readonly message: string | undefined;
}

/** A packed file that can be read; its cause is what the unpacking failed with. */
class DoesNotUnpack extends Error {
  override readonly name = 'DoesNotUnpack';
}

/**
 * Reads an item again and compares size and SHA-256 with the record. Rejects when the signal aborts, and
 * with CONFIG_INVALID when nothing here unpacks it.
 */
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
    const digest = createHash('sha256');
    for await (const chunk of await contentOf(folder, item.name, signal)) {
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
    // Nothing here unpacks it: that says nothing of the item.
    if (isBackupError(error)) throw error;
    const [what, cause] = error instanceof DoesNotUnpack ? ['does not unpack', error.cause] : ['cannot be read', error];
    return verdict('unreadable', foundBytes, `It ${what} (${systemCode(cause) ?? String(cause)}).`);
  }
}

async function contentOf(
  folder: string,
  name: string,
  signal: AbortSignal | undefined,
): Promise<AsyncIterable<Buffer>> {
  const { handle, compression } = await findItemFile(folder, name);
  const packer = await packerFor(compression).catch(async (error: unknown) => {
    await handle.close();
    throw error;
  });
  const file = handle.createReadStream({ highWaterMark: MIB, signal });
  if (packer === undefined) return file;
  return unpackedFrom(file, packer.unpack(), (cause) => new DoesNotUnpack('It does not unpack', { cause }));
}
