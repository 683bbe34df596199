import { join } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { KIB, MIB } from '../../common/byte-size.js';
import { BackupError, type OpenedItem, type SavesetRecord } from '../../contract/index.js';
import { systemCode } from '../to-host-error.js';
import { findItemFile } from './find-item-file.js';
import { packerFor } from './item-compression.js';
import { unpackedFrom } from './packed-item.js';
import { ReadAhead } from './read-ahead.js';
import { toMediumError } from './to-medium-error.js';

/** A chain has many items open at once, most of them small: what is read ahead of a small one is small, too. */
const MOST_AHEAD_BYTES = MIB;
const LEAST_AHEAD_BYTES = 64 * KIB;
const PIECES = 64;

/** An item of a finished saveset, to read. @throws {BackupError} DATA_DAMAGED when it is not as recorded; MEDIUM_FAILED. */
export async function openStoredItem(
  folder: string,
  record: SavesetRecord,
  name: string,
  signal: AbortSignal,
): Promise<OpenedItem> {
  const item = record.items.find((entry) => entry.name === name);
  const damaged = (why: string, cause?: unknown): BackupError =>
    new BackupError('DATA_DAMAGED', `The item ${name} of ${record.savesetId} ${why}.`, {
      hint: 'Run "xen-backup verify" and use another saveset.',
      context: { savesetId: record.savesetId, item: name },
      cause,
    });
  if (item === undefined) throw damaged('is not in the record');
  const path = join(folder, name);
  const { handle, compression } = await findItemFile(folder, name).catch((error: unknown) => {
    throw systemCode(error) === 'ENOENT' ? damaged('is missing', error) : toMediumError(error, path);
  });
  try {
    const { size } = await handle.stat();
    const packer = await packerFor(compression);
    // How much is in a packed file shows when it is read.
    if (packer === undefined && size !== item.bytes) throw damaged(`should have ${item.bytes} bytes and has ${size}`);
    const pieceBytes = Math.max(LEAST_AHEAD_BYTES, Math.min(MOST_AHEAD_BYTES, Math.ceil(size / PIECES)));
    const file = new ReadAhead(handle, pieceBytes);
    if (packer !== undefined) {
      const content = unpackedFrom(file, packer.unpack(), (cause) => damaged('does not unpack', cause));
      return { stream: addAbortSignal(signal, content), bytes: item.bytes };
    }
    return {
      stream: addAbortSignal(signal, file),
      bytes: size,
      giveBack: (piece) => {
        file.giveBack(piece);
      },
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}
