import { FormatError } from './format-error.js';

export const TAR_BLOCK_BYTES = 512;

const NAME = { at: 0, length: 100 };
const SIZE = { at: 124, length: 12 };
const CHECKSUM = { at: 148, length: 8 };
const TYPE_AT = 156;
const MAGIC = { at: 257, length: 5 };
const PREFIX = { at: 345, length: 155 };
const SPACE = 0x20;
const ZERO_BLOCK = Buffer.alloc(TAR_BLOCK_BYTES);
const OCTAL = /^ *([0-7]+)[ \0]*$/;

export interface TarHeader {
  readonly name: string;
  readonly sizeBytes: number;
}

/** Bytes of zeroes that follow a member of `sizeBytes`. */
export function tarPaddingBytes(sizeBytes: number): number {
  return (TAR_BLOCK_BYTES - (sizeBytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
}

export function isZeroBlock(block: Buffer): boolean {
  return block.equals(ZERO_BLOCK);
}

/**
 * Reads the header of a plain file: V7 (what XAPI writes), ustar or GNU. Everything else that tar knows (folders, links,
 * long names, extended headers) has no place in an archive of XAPI's and is refused.
 * @param block exactly 512 bytes.
 * @param offsetBytes where the block lies in the input, for the error.
 * @throws {FormatError}
 */
export function parseTarHeader(block: Buffer, offsetBytes: number): TarHeader {
  const stored = octal(block, CHECKSUM, 'checksum', offsetBytes);
  const computed = headerChecksum(block);
  if (stored !== computed) {
    const details = { offsetBytes, expected: String(stored), found: String(computed) };
    throw new FormatError('A member header does not match its checksum', details);
  }
  const type = block[TYPE_AT] ?? 0;
  if (type !== 0 && type !== 0x30) {
    const details = { offsetBytes, expected: 'a plain file', found: JSON.stringify(String.fromCharCode(type)) };
    throw new FormatError('A member of a type that the archive may not have', details);
  }
  const isPosix = text(block, MAGIC) === 'ustar' && block[MAGIC.at + MAGIC.length] === 0;
  const prefix = isPosix ? text(block, PREFIX) : '';
  const name = text(block, NAME);
  return { name: prefix === '' ? name : `${prefix}/${name}`, sizeBytes: octal(block, SIZE, 'size', offsetBytes) };
}

/** A copy of a header for a member of another size, with its checksum redone. */
export function withTarSize(header: Buffer, sizeBytes: number): Buffer {
  const copy = Buffer.from(header.subarray(0, TAR_BLOCK_BYTES));
  copy.write(`${sizeBytes.toString(8).padStart(SIZE.length - 1, '0')}\0`, SIZE.at, 'latin1');
  copy.write(
    `${headerChecksum(copy)
      .toString(8)
      .padStart(CHECKSUM.length - 1, '0')}\0`,
    CHECKSUM.at,
    'latin1',
  );
  return copy;
}

/** The sum of all bytes, those of the checksum itself counted as spaces. */
export function headerChecksum(block: Buffer): number {
  let sum = SPACE * CHECKSUM.length;
  for (let at = 0; at < CHECKSUM.at; at += 1) sum += block[at] ?? 0;
  for (let at = CHECKSUM.at + CHECKSUM.length; at < TAR_BLOCK_BYTES; at += 1) sum += block[at] ?? 0;
  return sum;
}

interface Field {
  readonly at: number;
  readonly length: number;
}

function text(block: Buffer, { at, length }: Field): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? length : end);
}

function octal(block: Buffer, { at, length }: Field, what: string, offsetBytes: number): number {
  const raw = block.toString('latin1', at, at + length);
  const digits = OCTAL.exec(raw)?.[1];
  if (digits === undefined) {
    const details = { offsetBytes, expected: 'octal digits', found: JSON.stringify(raw) };
    throw new FormatError(`A member header without a readable ${what}`, details);
  }
  return parseInt(digits, 8);
}
