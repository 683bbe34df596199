/**
 * The fixed newstyle NBD protocol, as far as a host of a pool speaks it (facts 7.3). All numbers are big-endian.
 */

/** Reads begin and end at multiples of this. */
export const SECTOR_BYTES = 512;

export const OPTION_REQUEST_BYTES = 16;
export const REQUEST_BYTES = 28;
export const REPLY_BYTES = 16;

const INIT_MAGIC = 'NBDMAGIC';
const OPTION_MAGIC = 'IHAVEOPT';
const OPTION_REPLY_MAGIC = 0x0003e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const REPLY_MAGIC = 0x67446698;
const FIXED_NEWSTYLE = 1;
const HAS_FLAGS_AND_READ_ONLY = 3;
const RESERVED_BYTES = 124;

export const Option = { ExportName: 1, Abort: 2, List: 3, StartTls: 5 } as const;

export const OptionReply = {
  Ack: 1,
  Unsupported: 0x8000_0001,
  Policy: 0x8000_0002,
  Invalid: 0x8000_0003,
  TlsRequired: 0x8000_0005,
} as const;

export type OptionReply = (typeof OptionReply)[keyof typeof OptionReply];

export const Command = { Read: 0, Write: 1, Disconnect: 2 } as const;

export const ErrorNumber = { None: 0, NotPermitted: 1, Invalid: 22 } as const;

export type ErrorNumber = (typeof ErrorNumber)[keyof typeof ErrorNumber];

export interface OptionRequest {
  readonly option: number;
  readonly lengthBytes: number;
}

/** A request of the transmission phase. */
export interface NbdRequest {
  readonly flags: number;
  readonly command: number;
  /** What its answer repeats. */
  readonly handle: bigint;
  readonly offset: bigint;
  readonly lengthBytes: number;
}

/** The first bytes of a server. It has no flag but fixed newstyle: zeroes are always sent. */
export function greeting(): Buffer {
  return Buffer.concat([Buffer.from(INIT_MAGIC + OPTION_MAGIC), Buffer.from([0, FIXED_NEWSTYLE])]);
}

/** Whether the client's four bytes of flags say that it speaks fixed newstyle. */
export function isFixedNewstyle(clientFlags: Buffer): boolean {
  return (clientFlags.readUInt32BE(0) & FIXED_NEWSTYLE) !== 0;
}

/** Undefined for what is not an option request. */
export function parseOptionRequest(bytes: Buffer): OptionRequest | undefined {
  if (bytes.toString('latin1', 0, 8) !== OPTION_MAGIC) return undefined;
  return { option: bytes.readUInt32BE(8), lengthBytes: bytes.readUInt32BE(12) };
}

/** An answer to an option; none of ours carries data. */
export function optionReply(option: number, reply: OptionReply): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(reply, 12);
  return bytes;
}

/** The answer to EXPORT_NAME: the size in bytes, the flags of a read-only disk, and reserved zeroes. */
export function exportAnswer(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(10 + RESERVED_BYTES);
  bytes.writeBigUInt64BE(BigInt(sizeBytes), 0);
  bytes.writeUInt16BE(HAS_FLAGS_AND_READ_ONLY, 8);
  return bytes;
}

/** Undefined for what is not a request. */
export function parseRequest(bytes: Buffer): NbdRequest | undefined {
  if (bytes.readUInt32BE(0) !== REQUEST_MAGIC) return undefined;
  return {
    flags: bytes.readUInt16BE(4),
    command: bytes.readUInt16BE(6),
    handle: bytes.readBigUInt64BE(8),
    offset: bytes.readBigUInt64BE(16),
    lengthBytes: bytes.readUInt32BE(24),
  };
}

/** Puts the head of a simple reply at the beginning of `target`. */
export function writeReplyHead(target: Buffer, handle: bigint, error: ErrorNumber): void {
  target.writeUInt32BE(REPLY_MAGIC, 0);
  target.writeUInt32BE(error, 4);
  target.writeBigUInt64BE(handle, 8);
}

export function replyHead(handle: bigint, error: ErrorNumber): Buffer {
  const bytes = Buffer.alloc(REPLY_BYTES);
  writeReplyHead(bytes, handle, error);
  return bytes;
}
