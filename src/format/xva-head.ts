import { parseOvaXml, serialiseOvaXml, type XvaArchive } from './ova-xml.js';
import { parseTarHeader, TAR_BLOCK_BYTES, tarPaddingBytes, withTarSize } from './tar-header.js';

export interface XvaHead {
  /** Header, body and padding of `ova.xml`. */
  readonly head: Buffer;
  /** The records in it. */
  readonly archive: XvaArchive;
}

/**
 * The head of an archive with its records changed: size and checksum of the header and the padding are redone, the rest
 * of the header is kept. Without `edit` the bytes stay as they are.
 * @param head header, body and padding of `ova.xml`, as `XvaReader.onArchive` counts them.
 * @throws {FormatError}
 */
export function rewriteOvaXml(head: Buffer, edit?: (archive: XvaArchive) => void): XvaHead {
  const header = head.subarray(0, TAR_BLOCK_BYTES);
  const { sizeBytes } = parseTarHeader(header, 0);
  const stored = head.subarray(TAR_BLOCK_BYTES, TAR_BLOCK_BYTES + sizeBytes);
  // The reader has already accepted this size.
  const archive = parseOvaXml(stored, sizeBytes);
  if (edit === undefined) return { head, archive };
  edit(archive);
  const body = serialiseOvaXml(archive);
  const padding = Buffer.alloc(tarPaddingBytes(body.length));
  return { head: Buffer.concat([withTarSize(header, body.length), body, padding]), archive };
}
