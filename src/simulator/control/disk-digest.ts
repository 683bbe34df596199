import { createHash } from 'node:crypto';
import { MIB } from '../../common/byte-size.js';
import { type DiskContent } from '../content/disk-content.js';

const PIECE_BYTES = MIB;

/** SHA-256 of all bytes of a disk, in hex. Lets others run in between. */
export async function diskDigest(content: DiskContent): Promise<string> {
  const hash = createHash('sha256');
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let offset = 0; offset < content.sizeBytes; offset += PIECE_BYTES) {
    const bytes = piece.subarray(0, Math.min(PIECE_BYTES, content.sizeBytes - offset));
    content.readInto(bytes, offset);
    hash.update(bytes);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return hash.digest('hex');
}
