import { GIB, KIB, MIB } from '../common/byte-size.js';
import { FormatError } from './format-error.js';
import { vhdGeometry } from './vhd-geometry.js';

/*
 * The parts of a VHD, as Microsoft's "Virtual Hard Disk Image Format Specification" has them. All numbers are big-endian.
 * footer copy (512) · dynamic header (1024) · parent locators · block allocation table · blocks · footer (512); a block is
 * a bitmap of its sectors (padded to whole sectors) and its data.
 */

export const SECTOR_BYTES = 512;
export const FOOTER_BYTES = 512;
export const DYNAMIC_HEADER_BYTES = 1024;
/** What a pool's tools and Hyper-V use. */
export const DEFAULT_BLOCK_BYTES = 2 * MIB;
export const MIN_BLOCK_BYTES = 64 * KIB;
/** A larger disk has no VHD (facts 4.6). */
export const MAX_VHD_DISK_BYTES = 2040 * GIB;
/** An entry of the block allocation table of a block that the file does not have. */
export const UNUSED_BLOCK = 0xffffffff;

const FOOTER_COOKIE = 'conectix';
const HEADER_COOKIE = 'cxsparse';
const VERSION = 0x00010000;
const NO_OFFSET = 0xffffffffffffffffn;
/** A bit that is always set. */
const FEATURES = 2;
/** Seconds from 1970 to 2000, where the time of a VHD begins. */
const EPOCH_OFFSET_SECONDS = 946_684_800;
/** Readers take the disk's size from the footer, not from the geometry, when the creator is one of those they know. */
const CREATOR = 'win ';
const CREATOR_VERSION = 0x000a0000;
const CREATOR_HOST = 'Wi2k';
const FOOTER_CHECKSUM_AT = 64;
const HEADER_CHECKSUM_AT = 36;
const NAME_AT = 64;
const MAX_NAME_CHARACTERS = 256;
const LOCATORS_AT = 576;
const LOCATOR_BYTES = 24;
const LOCATORS = 8;
const RELATIVE_PATH = 'W2ru';
const NIL_UUID = '00000000-0000-0000-0000-000000000000';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** Twice what writers make; a damaged header must not make us take much memory. */
const MAX_BLOCK_BYTES = 4 * MIB;

export type VhdType = 'fixed' | 'dynamic' | 'differencing';
const TYPES: Readonly<Record<VhdType, number>> = { fixed: 2, dynamic: 3, differencing: 4 };

/** A disk that is larger than a VHD can be. */
export class DiskTooLargeForVhd extends FormatError {
  constructor(readonly diskSizeBytes: number) {
    super('The disk is larger than a VHD can be', {
      expected: `at most ${MAX_VHD_DISK_BYTES} bytes (2040 GiB)`,
      found: `${diskSizeBytes} bytes`,
    });
  }
}

/** @throws {DiskTooLargeForVhd} or a plain `FormatError` for a size that is not in whole sectors. */
export function assertVhdDiskSize(diskSizeBytes: number): void {
  if (diskSizeBytes > MAX_VHD_DISK_BYTES) throw new DiskTooLargeForVhd(diskSizeBytes);
  if (!Number.isSafeInteger(diskSizeBytes) || diskSizeBytes < 0 || diskSizeBytes % SECTOR_BYTES !== 0) {
    const details = { expected: 'a multiple of 512', found: String(diskSizeBytes) };
    throw new FormatError('A disk size that is not in whole sectors', details);
  }
}

export interface VhdFooter {
  readonly type: VhdType;
  readonly uuid: string;
  readonly diskSizeBytes: number;
  /** When it was written; VHDs count in seconds since 2000. */
  readonly createdAtMs: number;
  /** Where the dynamic header lies; undefined for a fixed disk. */
  readonly headerOffsetBytes: number | undefined;
}

export interface VhdParent {
  /** UUID in the footer of the parent. */
  readonly uuid: string;
  /** File name of the parent, for people and for programs that look for it. */
  readonly name: string;
  /** When the parent was last changed. */
  readonly timestampMs: number;
}

export interface VhdHeader {
  readonly tableOffsetBytes: number;
  /** Entries of the block allocation table. */
  readonly tableEntries: number;
  readonly blockSizeBytes: number;
  /** Absent in a dynamic disk. */
  readonly parent: VhdParent | undefined;
}

/** Bytes of the bitmap before each block. */
export function blockBitmapBytes(blockSizeBytes: number): number {
  return roundUp(blockSizeBytes / SECTOR_BYTES / 8, SECTOR_BYTES);
}

/** Bytes of a block allocation table in the file. */
export function tableBytes(entries: number): number {
  return roundUp(entries * 4, SECTOR_BYTES);
}

export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** @param bytes 512 of them. @throws {FormatError} */
export function parseVhdFooter(bytes: Buffer, offsetBytes: number): VhdFooter {
  expectText(bytes, 0, FOOTER_COOKIE, 'A VHD footer', offsetBytes);
  expectChecksum(bytes, FOOTER_CHECKSUM_AT, 'A VHD footer', offsetBytes);
  expectNumber(bytes.readUInt32BE(12), VERSION, 'A VHD of an unknown version', offsetBytes);
  const typeNumber = bytes.readUInt32BE(60);
  const type = (Object.keys(TYPES) as VhdType[]).find((name) => TYPES[name] === typeNumber);
  if (type === undefined) throw new FormatError('A VHD of an unknown type', { offsetBytes, found: String(typeNumber) });
  const diskSizeBytes = Number(bytes.readBigUInt64BE(48));
  assertVhdDiskSize(diskSizeBytes);
  const dataOffset = bytes.readBigUInt64BE(16);
  return {
    type,
    uuid: uuidText(bytes, 68),
    diskSizeBytes,
    createdAtMs: fromVhdTime(bytes.readUInt32BE(24)),
    headerOffsetBytes: dataOffset === NO_OFFSET ? undefined : Number(dataOffset),
  };
}

export function serialiseVhdFooter(footer: VhdFooter): Buffer {
  assertVhdDiskSize(footer.diskSizeBytes);
  const bytes = Buffer.alloc(FOOTER_BYTES);
  bytes.write(FOOTER_COOKIE, 0, 'latin1');
  bytes.writeUInt32BE(FEATURES, 8);
  bytes.writeUInt32BE(VERSION, 12);
  bytes.writeBigUInt64BE(footer.headerOffsetBytes === undefined ? NO_OFFSET : BigInt(footer.headerOffsetBytes), 16);
  bytes.writeUInt32BE(toVhdTime(footer.createdAtMs), 24);
  bytes.write(CREATOR, 28, 'latin1');
  bytes.writeUInt32BE(CREATOR_VERSION, 32);
  bytes.write(CREATOR_HOST, 36, 'latin1');
  bytes.writeBigUInt64BE(BigInt(footer.diskSizeBytes), 40);
  bytes.writeBigUInt64BE(BigInt(footer.diskSizeBytes), 48);
  const { cylinders, heads, sectorsPerTrack } = vhdGeometry(footer.diskSizeBytes);
  bytes.writeUInt16BE(cylinders, 56);
  bytes.writeUInt8(heads, 58);
  bytes.writeUInt8(sectorsPerTrack, 59);
  bytes.writeUInt32BE(TYPES[footer.type], 60);
  writeUuid(bytes, 68, footer.uuid);
  bytes.writeUInt32BE(vhdChecksum(bytes, FOOTER_CHECKSUM_AT), FOOTER_CHECKSUM_AT);
  return bytes;
}

/**
 * A footer as our own files have it, for a disk of this size; UUID, type and time stay.
 * @param footer 512 bytes. @throws {FormatError} when it is no footer.
 */
export function withVhdSize(footer: Buffer, diskSizeBytes: number): Buffer {
  return serialiseVhdFooter({ ...parseVhdFooter(footer, 0), diskSizeBytes });
}

/** @param bytes 1024 of them. @throws {FormatError} */
export function parseVhdHeader(bytes: Buffer, type: VhdType, offsetBytes: number): VhdHeader {
  expectText(bytes, 0, HEADER_COOKIE, 'A VHD header', offsetBytes);
  expectChecksum(bytes, HEADER_CHECKSUM_AT, 'A VHD header', offsetBytes);
  expectNumber(bytes.readUInt32BE(24), VERSION, 'A VHD header of an unknown version', offsetBytes);
  const blockSizeBytes = bytes.readUInt32BE(32);
  const isPowerOfTwo = blockSizeBytes >= 8 * SECTOR_BYTES && (blockSizeBytes & (blockSizeBytes - 1)) === 0;
  if (!isPowerOfTwo || blockSizeBytes > MAX_BLOCK_BYTES) {
    throw new FormatError('A VHD with an unusable block size', { offsetBytes, found: String(blockSizeBytes) });
  }
  const parentUuid = uuidText(bytes, 40);
  if ((type === 'differencing') === (parentUuid === NIL_UUID)) {
    const details = { offsetBytes, expected: type === 'differencing' ? 'a parent' : 'no parent', found: parentUuid };
    throw new FormatError('A VHD whose parent does not fit its type', details);
  }
  return {
    tableOffsetBytes: Number(bytes.readBigUInt64BE(16)),
    tableEntries: bytes.readUInt32BE(28),
    blockSizeBytes,
    parent: type === 'differencing' ? parseParent(bytes, parentUuid) : undefined,
  };
}

/** @param locatorOffsetBytes where the sector of `parentLocator` lies; only with a parent. */
export function serialiseVhdHeader(header: VhdHeader, locatorOffsetBytes: number): Buffer {
  const bytes = Buffer.alloc(DYNAMIC_HEADER_BYTES);
  bytes.write(HEADER_COOKIE, 0, 'latin1');
  bytes.writeBigUInt64BE(NO_OFFSET, 8);
  bytes.writeBigUInt64BE(BigInt(header.tableOffsetBytes), 16);
  bytes.writeUInt32BE(VERSION, 24);
  bytes.writeUInt32BE(header.tableEntries, 28);
  bytes.writeUInt32BE(header.blockSizeBytes, 32);
  if (header.parent !== undefined) writeParent(bytes, header.parent, locatorOffsetBytes);
  bytes.writeUInt32BE(vhdChecksum(bytes, HEADER_CHECKSUM_AT), HEADER_CHECKSUM_AT);
  return bytes;
}

/** The sector that a header's parent locator points at: the parent's relative path, UTF-16. */
export function parentLocator({ name }: VhdParent): Buffer {
  const bytes = Buffer.alloc(SECTOR_BYTES);
  relativePath(name).copy(bytes);
  return bytes;
}

/**
 * The first 1536 bytes of a differencing VHD with another parent: what a pool exports against a base of its own becomes
 * the child of the stored item that has the base's content.
 * @throws {FormatError} when it is not the head of a differencing VHD.
 */
export function withVhdParent(head: Buffer, parent: VhdParent): Buffer {
  const footer = parseVhdFooter(head.subarray(0, FOOTER_BYTES), 0);
  const at = footer.headerOffsetBytes;
  if (at !== FOOTER_BYTES || head.length < at + DYNAMIC_HEADER_BYTES)
    throw new FormatError('A VHD whose header is not where it is expected', { found: String(at) });
  parseVhdHeader(head.subarray(at, at + DYNAMIC_HEADER_BYTES), footer.type, at);
  if (footer.type !== 'differencing') throw new FormatError('A VHD that can have no parent', { found: footer.type });
  const changed = Buffer.from(head);
  const header = changed.subarray(at, at + DYNAMIC_HEADER_BYTES);
  // Its locators say where the old parent lies.
  header.fill(0, LOCATORS_AT, LOCATORS_AT + LOCATORS * LOCATOR_BYTES);
  writeUuid(header, 40, parent.uuid);
  header.writeUInt32BE(toVhdTime(parent.timestampMs), 56);
  writeName(header, parent.name);
  header.writeUInt32BE(vhdChecksum(header, HEADER_CHECKSUM_AT), HEADER_CHECKSUM_AT);
  return changed;
}

/** The one's complement of the sum of all bytes, those of the checksum itself left out. */
export function vhdChecksum(bytes: Buffer, checksumAt: number): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    if (at < checksumAt || at >= checksumAt + 4) sum += bytes[at] ?? 0;
  }
  return ~sum >>> 0;
}

function parseParent(header: Buffer, uuid: string): VhdParent {
  const name = Buffer.from(header.subarray(NAME_AT, NAME_AT + 2 * MAX_NAME_CHARACTERS))
    .swap16()
    .toString('utf16le');
  const end = name.indexOf('\0');
  return { uuid, name: end < 0 ? name : name.slice(0, end), timestampMs: fromVhdTime(header.readUInt32BE(56)) };
}

function writeParent(header: Buffer, parent: VhdParent, locatorOffsetBytes: number): void {
  writeUuid(header, 40, parent.uuid);
  header.writeUInt32BE(toVhdTime(parent.timestampMs), 56);
  writeName(header, parent.name);
  header.write(RELATIVE_PATH, LOCATORS_AT, 'latin1');
  // The specification counts this field in sectors; every writer and reader counts it in bytes.
  header.writeUInt32BE(SECTOR_BYTES, LOCATORS_AT + 4);
  header.writeUInt32BE(relativePath(parent.name).length, LOCATORS_AT + 8);
  header.writeBigUInt64BE(BigInt(locatorOffsetBytes), LOCATORS_AT + 16);
}

function writeName(header: Buffer, name: string): void {
  const room = header.subarray(NAME_AT, NAME_AT + 2 * MAX_NAME_CHARACTERS);
  room.fill(0);
  Buffer.from(name.slice(0, MAX_NAME_CHARACTERS - 1), 'utf16le')
    .swap16()
    .copy(room);
}

function relativePath(name: string): Buffer {
  return Buffer.from(`.\\${name}`.slice(0, MAX_NAME_CHARACTERS), 'utf16le');
}

function uuidText(bytes: Buffer, at: number): string {
  const digits = bytes.toString('hex', at, at + 16);
  return [8, 12, 16, 20, 32].map((end, index) => digits.slice([0, 8, 12, 16, 20][index], end)).join('-');
}

function writeUuid(bytes: Buffer, at: number, uuid: string): void {
  if (!UUID.test(uuid)) throw new FormatError('A text that is not a UUID', { found: uuid });
  bytes.write(uuid.replaceAll('-', ''), at, 'hex');
}

function toVhdTime(atMs: number): number {
  return Math.min(0xffffffff, Math.max(0, Math.floor(atMs / 1000) - EPOCH_OFFSET_SECONDS));
}

function fromVhdTime(seconds: number): number {
  return (seconds + EPOCH_OFFSET_SECONDS) * 1000;
}

function expectText(bytes: Buffer, at: number, expected: string, what: string, offsetBytes: number): void {
  const found = bytes.toString('latin1', at, at + expected.length);
  if (found === expected) return;
  throw new FormatError(`${what} is not there`, { offsetBytes, expected, found: JSON.stringify(found) });
}

function expectChecksum(bytes: Buffer, at: number, what: string, offsetBytes: number): void {
  const [stored, computed] = [bytes.readUInt32BE(at), vhdChecksum(bytes, at)];
  if (stored === computed) return;
  const details = { offsetBytes, expected: String(stored), found: String(computed) };
  throw new FormatError(`${what} does not match its checksum`, details);
}

function expectNumber(found: number, expected: number, what: string, offsetBytes: number): void {
  if (found !== expected)
    throw new FormatError(what, { offsetBytes, expected: String(expected), found: String(found) });
}
