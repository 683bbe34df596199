import { TransportError } from './transport-error.js';

/**
 * The bytes of NBD's fixed newstyle handshake and of its simple replies, as far as XAPI's server speaks them: STARTTLS,
 * EXPORT_NAME, READ, DISC. Everything that comes from the server is checked; nothing it says makes us take more than
 * was asked for. Source: the protocol description of the NBD project (`doc/proto.md`).
 */
export const NBD_PORT = 10_809;

const GREETING_MAGIC = 'NBDMAGICIHAVEOPT';
const REPLY_TO_OPTION = 0x0003_e889_0455_65a9n;
const REQUEST_MAGIC = 0x2560_9513;
const REPLY_MAGIC = 0x6744_6698;

const FIXED_NEWSTYLE = 1;
const NO_ZEROES = 2;
const HAS_FLAGS = 1;

const READ = 0;
const DISCONNECT = 2;

export const GREETING_BYTES = 18;
export const OPTION_REPLY_BYTES = 20;
export const REPLY_HEADER_BYTES = 16;
/** Size and flags of an export; zeroes follow unless both sides left them out. */
export const EXPORT_BYTES = 10;
export const ZEROES_BYTES = 124;
/** A server may say why it refuses an option: not in more than this. */
const MAX_OPTION_TEXT_BYTES = 4096;
/** More than this a server need not give for one request. */
export const MAX_READ_BYTES = 32 * 1024 * 1024;
/** Longest name that a server need take. */
const MAX_NAME_BYTES = 4096;

const OPTIONS = { exportName: 1, abort: 2, startTls: 5 } as const;
type OptionName = keyof typeof OPTIONS;

export interface Greeting {
  /** Neither side sends the zeroes that nobody needs. */
  readonly leavesZeroesOut: boolean;
}

export function parseGreeting(bytes: Buffer): Greeting {
  if (bytes.toString('latin1', 0, 16) !== GREETING_MAGIC) throw notNbd('It does not greet as an NBD server');
  const flags = bytes.readUInt16BE(16);
  if ((flags & FIXED_NEWSTYLE) === 0) throw notNbd('It speaks only an old form of NBD');
  return { leavesZeroesOut: (flags & NO_ZEROES) !== 0 };
}

export function clientFlags({ leavesZeroesOut }: Greeting): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(FIXED_NEWSTYLE | (leavesZeroesOut ? NO_ZEROES : 0));
  return bytes;
}

/** @throws {TransportError} when the name is longer than the protocol lets it be. */
export function encodeOption(name: OptionName, data = ''): Buffer {
  const length = Buffer.byteLength(data);
  if (length > MAX_NAME_BYTES) throw notNbd('The name of the export is too long');
  const bytes = Buffer.alloc(16 + length);
  bytes.write('IHAVEOPT', 'latin1');
  bytes.writeUInt32BE(OPTIONS[name], 8);
  bytes.writeUInt32BE(length, 12);
  bytes.write(data, 16);
  return bytes;
}

export interface OptionReply {
  readonly isAccepted: boolean;
  /** What the server calls its refusal: `ERR_POLICY`, ... */
  readonly refusal: string | undefined;
  /** So many bytes of text follow. */
  readonly textBytes: number;
}

const ACCEPTED = 1;
const REFUSALS: Readonly<Record<number, string>> = {
  0x8000_0001: 'ERR_UNSUP',
  0x8000_0002: 'ERR_POLICY',
  0x8000_0003: 'ERR_INVALID',
  0x8000_0004: 'ERR_PLATFORM',
  0x8000_0005: 'ERR_TLS_REQD',
  0x8000_0006: 'ERR_UNKNOWN',
  0x8000_0007: 'ERR_SHUTDOWN',
  0x8000_0009: 'ERR_TOO_BIG',
};

export function parseOptionReply(bytes: Buffer, asked: OptionName): OptionReply {
  if (bytes.readBigUInt64BE(0) !== REPLY_TO_OPTION) throw notNbd('It answers an option with something else');
  if (bytes.readUInt32BE(8) !== OPTIONS[asked]) throw notNbd('It answers another option than it was asked for');
  const type = bytes.readUInt32BE(12);
  const textBytes = bytes.readUInt32BE(16);
  if (textBytes > MAX_OPTION_TEXT_BYTES) throw notNbd('Its answer to an option is too long');
  if (type === ACCEPTED && textBytes !== 0) throw notNbd('It says too much to an option that it accepts');
  if (type === ACCEPTED) return { isAccepted: true, refusal: undefined, textBytes };
  if (type < 0x8000_0000) throw notNbd('It neither accepts nor refuses an option');
  return { isAccepted: false, refusal: REFUSALS[type] ?? `0x${type.toString(16)}`, textBytes };
}

/** Size of the export in bytes. */
export function parseExport(bytes: Buffer): number {
  const sizeBytes = bytes.readBigUInt64BE(0);
  if ((bytes.readUInt16BE(8) & HAS_FLAGS) === 0) throw notNbd('It gives an export without flags');
  if (sizeBytes > BigInt(Number.MAX_SAFE_INTEGER)) throw notNbd('It gives an export of impossible size');
  return Number(sizeBytes);
}

function encodeRequest(type: number, handle: number, offsetBytes: number, lengthBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(28);
  bytes.writeUInt32BE(REQUEST_MAGIC, 0);
  bytes.writeUInt32BE(type, 4);
  bytes.writeBigUInt64BE(BigInt(handle), 8);
  bytes.writeBigUInt64BE(BigInt(offsetBytes), 16);
  bytes.writeUInt32BE(lengthBytes, 24);
  return bytes;
}

/** Offset and length must be multiples of 512 for XAPI's server, which ends the connection otherwise. */
export function encodeRead(handle: number, offsetBytes: number, lengthBytes: number): Buffer {
  return encodeRequest(READ, handle, offsetBytes, lengthBytes);
}

export function encodeDisconnect(): Buffer {
  return encodeRequest(DISCONNECT, 0, 0, 0);
}

export interface ReplyHeader {
  /** Our number of the request; more than any of ours when the server made it up. */
  readonly handle: number;
  /** 0, or the number of a Linux error. */
  readonly error: number;
}

export function parseReplyHeader(bytes: Buffer): ReplyHeader {
  if (bytes.readUInt32BE(0) !== REPLY_MAGIC) throw notNbd('It sends something that is no reply');
  return { error: bytes.readUInt32BE(4), handle: Number(bytes.readBigUInt64BE(8)) };
}

const ERRORS: Readonly<Record<number, string>> = {
  1: 'EPERM',
  5: 'EIO',
  12: 'ENOMEM',
  22: 'EINVAL',
  28: 'ENOSPC',
  75: 'EOVERFLOW',
  95: 'ENOTSUP',
  108: 'ESHUTDOWN',
};

/** Name of an error in a reply. */
export function replyErrorName(error: number): string {
  return ERRORS[error] ?? `error ${error}`;
}

function notNbd(what: string): TransportError {
  return new TransportError('protocol', `The NBD server can't be understood. ${what}.`);
}
