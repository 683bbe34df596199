/** Bytes of a sector, of a footer, and what everything in a VHD is padded to. */
export const SECTOR_BYTES = 512;
/** Bytes of a header. */
export const HEADER_BYTES = 1024;
/** Of a block that is not stored. */
export const UNUSED_ENTRY = 0xff_ff_ff_ff;

const FOOTER_COOKIE = 'conectix';
const HEADER_COOKIE = 'cxsparse';
const VERSION = 0x0001_0000;
const ALL_ONES = 0xffff_ffff_ffff_ffffn;
/** "Reserved", and always set. */
const FEATURES = 2;
const FOOTER_CHECKSUM_AT = 64;
const HEADER_CHECKSUM_AT = 36;
const LOCATORS_AT = 576;
const NAME_BYTES = 512;

export type DiskType = 'dynamic' | 'differencing';
const TYPE_CODES: ReadonlyMap<number, DiskType> = new Map([
  [3, 'dynamic'],
  [4, 'differencing'],
]);

export interface VhdFooter {
  readonly sizeBytes: number;
  readonly type: DiskType;
  readonly uuid: string;
  /** Where the header is. */
  readonly dataOffset: number;
}

/** The image that a differencing one builds on. */
export interface VhdParent {
  readonly uuid: string;
  /** Path of the image on the host that exports; only ASCII. */
  readonly path: string;
  /** Seconds since the year 2000. */
  readonly timeStamp: number;
}

export interface VhdHeader {
  readonly tableOffset: number;
  readonly entryCount: number;
  readonly blockBytes: number;
}

/** A VHD that breaks a rule. */
export class BadVhd extends RangeError {}

/** The footer, which is also at the front. Written as XAPI's vhd-tool does: by "caml", at no time. */
export function encodeFooter(footer: VhdFooter): Buffer {
  const bytes = Buffer.alloc(SECTOR_BYTES);
  bytes.write(FOOTER_COOKIE, 0, 'latin1');
  bytes.writeUInt32BE(FEATURES, 8);
  bytes.writeUInt32BE(VERSION, 12);
  bytes.writeBigUInt64BE(BigInt(footer.dataOffset), 16);
  bytes.write('caml', 28, 'latin1');
  bytes.writeUInt32BE(1, 32);
  bytes.writeBigUInt64BE(BigInt(footer.sizeBytes), 40);
  bytes.writeBigUInt64BE(BigInt(footer.sizeBytes), 48);
  const { cylinders, heads, sectors } = geometryOf(Math.floor(footer.sizeBytes / SECTOR_BYTES));
  bytes.writeUInt16BE(cylinders, 56);
  bytes.writeUInt8(heads, 58);
  bytes.writeUInt8(sectors, 59);
  bytes.writeUInt32BE(footer.type === 'dynamic' ? 3 : 4, 60);
  bytes.write(footer.uuid.replaceAll('-', ''), 68, 'hex');
  bytes.writeUInt32BE(checksumOf(bytes, FOOTER_CHECKSUM_AT), FOOTER_CHECKSUM_AT);
  return bytes;
}

/** Throws BadVhd for what vhd-tool does not take. */
export function decodeFooter(bytes: Buffer): VhdFooter {
  assertIs(bytes.toString('latin1', 0, 8) === FOOTER_COOKIE, 'no footer');
  assertIs(bytes.readUInt32BE(12) === VERSION, 'unknown footer version');
  assertIs(bytes.readUInt32BE(64) === checksumOf(bytes, FOOTER_CHECKSUM_AT), 'wrong checksum of the footer');
  const type = TYPE_CODES.get(bytes.readUInt32BE(60));
  assertIs(type !== undefined, 'neither dynamic nor differencing');
  return {
    sizeBytes: Number(bytes.readBigUInt64BE(48)),
    type,
    uuid: uuidAt(bytes, 68),
    dataOffset: Number(bytes.readBigUInt64BE(16)),
  };
}

/**
 * The header. The only parent locator is of the kind "MacX" and points at the sector behind the header, as vhd-tool's
 * does.
 */
export function encodeHeader(header: VhdHeader, parent?: VhdParent): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write(HEADER_COOKIE, 0, 'latin1');
  bytes.writeBigUInt64BE(ALL_ONES, 8);
  bytes.writeBigUInt64BE(BigInt(header.tableOffset), 16);
  bytes.writeUInt32BE(VERSION, 24);
  bytes.writeUInt32BE(header.entryCount, 28);
  bytes.writeUInt32BE(header.blockBytes, 32);
  if (parent !== undefined) {
    bytes.write(parent.uuid.replaceAll('-', ''), 40, 'hex');
    bytes.writeUInt32BE(parent.timeStamp, 56);
    Buffer.from(parent.path, 'utf16le').subarray(0, NAME_BYTES).swap16().copy(bytes, 64);
    bytes.write('MacX', LOCATORS_AT, 'latin1');
    bytes.writeUInt32BE(1, LOCATORS_AT + 4);
    bytes.writeUInt32BE(`file://${parent.path}`.length, LOCATORS_AT + 8);
    bytes.writeBigUInt64BE(BigInt(SECTOR_BYTES + HEADER_BYTES), LOCATORS_AT + 16);
  }
  bytes.writeUInt32BE(checksumOf(bytes, HEADER_CHECKSUM_AT), HEADER_CHECKSUM_AT);
  return bytes;
}

/** Throws BadVhd. */
export function decodeHeader(bytes: Buffer): VhdHeader {
  assertIs(bytes.toString('latin1', 0, 8) === HEADER_COOKIE, 'no header');
  assertIs(bytes.readBigUInt64BE(8) === ALL_ONES, 'the header goes on elsewhere');
  assertIs(bytes.readUInt32BE(24) === VERSION, 'unknown header version');
  assertIs(bytes.readUInt32BE(36) === checksumOf(bytes, HEADER_CHECKSUM_AT), 'wrong checksum of the header');
  const blockBytes = bytes.readUInt32BE(32);
  assertIs(blockBytes >= 8 * SECTOR_BYTES && Number.isInteger(Math.log2(blockBytes)), 'block size is no power of two');
  return { tableOffset: Number(bytes.readBigUInt64BE(16)), entryCount: bytes.readUInt32BE(28), blockBytes };
}

/** Bytes of the table of blocks, filled up to whole sectors. */
export function tableBytes(entryCount: number): number {
  return roundUp(4 * entryCount);
}

/** Bytes of the bitmap in front of each block: one bit a sector. */
export function bitmapBytes(blockBytes: number): number {
  return roundUp(blockBytes / SECTOR_BYTES / 8);
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES;
}

/** The one's complement of the sum of all bytes, the checksum's own place counted as zero. */
function checksumOf(bytes: Buffer, ownPlace: number): number {
  let sum = 0;
  for (const [index, byte] of bytes.entries()) if (index < ownPlace || index >= ownPlace + 4) sum += byte;
  return ~sum >>> 0;
}

function uuidAt(bytes: Buffer, at: number): string {
  return bytes.toString('hex', at, at + 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function assertIs(isTrue: boolean, problem: string): asserts isTrue {
  if (!isTrue) throw new BadVhd(problem);
}

/** Cylinders, heads and sectors a track for a number of sectors, as the appendix of Microsoft's specification has it. */
function geometryOf(count: number): { readonly cylinders: number; readonly heads: number; readonly sectors: number } {
  const total = Math.min(count, 65_535 * 16 * 255);
  const shape = (sectors: number, heads: number) => ({
    cylinders: Math.floor(Math.floor(total / sectors) / heads),
    heads,
    sectors,
  });
  if (total > 65_535 * 16 * 63) return shape(255, 16);
  const tracks = Math.floor(total / 17);
  const heads = Math.max(4, Math.ceil(tracks / 1024));
  if (tracks < heads * 1024 && heads <= 16) return shape(17, heads);
  return Math.floor(total / 31) < 16 * 1024 ? shape(31, 16) : shape(63, 16);
}
