/** Bytes of a tar header, and what everything in a tar is padded to. */
export const TAR_BLOCK_BYTES = 512;

export interface TarHeader {
  readonly name: string;
  readonly sizeBytes: number;
  /** Seconds since the epoch. */
  readonly mtimeSeconds: number;
}

const NAME_BYTES = 100;
const SIZE_AT = 124;
const MTIME_AT = 136;
const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;
const TYPE_AT = 156;
const PREFIX_AT = 345;
const PREFIX_BYTES = 155;

/**
 * Writes a V7 header as XAPI's tar library makes it (facts 5.1): no `ustar` magic, type NUL, mode 400, owner 0, every
 * number octal with leading zeroes and a NUL, the checksum with seven digits.
 */
export function writeTarHeader(target: Buffer, at: number, header: TarHeader): void {
  target.fill(0, at, at + TAR_BLOCK_BYTES);
  target.write(header.name, at, NAME_BYTES, 'latin1');
  target.write('0000400\x000000000\x000000000\x00', at + NAME_BYTES, 'latin1');
  target.write(`${octal(header.sizeBytes, 11)}\x00`, at + SIZE_AT, 'latin1');
  target.write(`${octal(header.mtimeSeconds, 11)}\x00`, at + MTIME_AT, 'latin1');
  target.write(`${octal(checksumOf(target, at), 7)}\x00`, at + CHECKSUM_AT, 'latin1');
}

/** What a header block says; `end` for a block of zeroes, undefined for what is no header at all. */
export function readTarHeader(block: Buffer): (TarHeader & { readonly type: string }) | 'end' | undefined {
  if (block.every((byte) => byte === 0)) return 'end';
  const stored = number(block, CHECKSUM_AT, CHECKSUM_BYTES);
  const sizeBytes = number(block, SIZE_AT, 12);
  if (stored === undefined || sizeBytes === undefined || stored !== checksumOf(block, 0)) return undefined;
  const name = text(block, 0, NAME_BYTES);
  const isPosix = text(block, 257, 6) === 'ustar' && block[262] === 0;
  const prefix = isPosix ? text(block, PREFIX_AT, PREFIX_BYTES) : '';
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    sizeBytes,
    mtimeSeconds: number(block, MTIME_AT, 12) ?? 0,
    type: block[TYPE_AT] === 0 ? '0' : String.fromCharCode(block[TYPE_AT] ?? 0x30),
  };
}

/** How many zeroes follow a member of that size. */
export function tarPadding(sizeBytes: number): number {
  return (TAR_BLOCK_BYTES - (sizeBytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

/** The sum of all bytes, the checksum's own place counted as spaces. */
function checksumOf(block: Buffer, at: number): number {
  let sum = CHECKSUM_BYTES * 0x20;
  for (let index = 0; index < TAR_BLOCK_BYTES; index += 1) {
    const isOwnPlace = index >= CHECKSUM_AT && index < CHECKSUM_AT + CHECKSUM_BYTES;
    if (!isOwnPlace) sum += block[at + index] ?? 0;
  }
  return sum;
}

function text(block: Buffer, at: number, length: number): string {
  const end = block.indexOf(0, at);
  return block.toString('latin1', at, end < 0 || end > at + length ? at + length : end);
}

/** Octal text, or GNU's big-endian binary when the first bit is set. */
function number(block: Buffer, at: number, length: number): number | undefined {
  if (((block[at] ?? 0) & 0x80) !== 0) {
    let value = 0;
    for (let index = length - 6; index < length; index += 1) value = value * 256 + (block[at + index] ?? 0);
    return value;
  }
  const digits = text(block, at, length).trim();
  if (digits === '') return 0;
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined;
}
