import { Readable, type Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { SimulatedFailure } from '../simulated-failure.js';
import { ByteReader } from './byte-reader.js';
import { TAR_BLOCK_BYTES, type TarHeader, tarPadding, readTarHeader } from './tar-header.js';

const OVA_XML = 'ova.xml';
const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
/** GNU's long name and the pax headers: they come before the member that they describe. */
const LONG_NAME = 'L';
const EXTENSION_TYPES = new Set(['K', 'x', 'g']);
const MAX_SMALL_MEMBER_BYTES = 64 * 1024 * 1024;

/** An archive whose `ova.xml` has been read; `members` stands behind it. */
export interface OpenArchive {
  readonly ovaXml: string;
  readonly members: MemberReader;
}

/** Reads a tar member by member, in order; takes V7, ustar and GNU headers. */
export class MemberReader {
  readonly bytes: ByteReader;

  constructor(bytes: ByteReader) {
    this.bytes = bytes;
  }

  /** The next member's header. Throws IMPORT_ERROR_PREMATURE_EOF, or IMPORT_ERROR at the archive's end or for noise. */
  async next(): Promise<TarHeader> {
    let longName: string | undefined;
    for (;;) {
      const header = readTarHeader(await this.bytes.read(TAR_BLOCK_BYTES));
      if (header === 'end') throw importError('Tar.Header.End_of_stream');
      if (header === undefined) throw importError('Tar.Header.Checksum_mismatch');
      if (header.type === LONG_NAME) longName = (await this.content(header)).toString('latin1').replace(/\0.*$/s, '');
      else if (EXTENSION_TYPES.has(header.type)) await this.content(header);
      else return longName === undefined ? header : { ...header, name: longName };
    }
  }

  /** The bytes of a small member, its padding passed over. */
  async content(header: TarHeader): Promise<Buffer> {
    if (header.sizeBytes > MAX_SMALL_MEMBER_BYTES) throw importError('Out of memory');
    const content = await this.bytes.read(header.sizeBytes);
    await this.bytes.skip(tarPadding(header.sizeBytes));
    return content;
  }
}

/**
 * Opens an archive as XAPI does: when the first block is no header of `ova.xml`, the whole stream is taken for zstd (by
 * its magic) or else for gzip. Data that will not unpack therefore ends as IMPORT_ERROR_PREMATURE_EOF (facts 5.5).
 * `waitAtEnd` holds up the end of a plain archive: XAPI reads on from the connection whatever length was announced.
 */
export async function openArchive(body: AsyncIterable<Buffer>, waitAtEnd: () => Promise<void>): Promise<OpenArchive> {
  const raw = new ByteReader(body, waitAtEnd);
  const first = await raw.readUpTo(TAR_BLOCK_BYTES);
  const header = first.length === TAR_BLOCK_BYTES ? readTarHeader(first) : undefined;
  if (typeof header === 'object' && header.name === OVA_XML) return readOva(new MemberReader(raw), header);
  const members = new MemberReader(new ByteReader(unpacked(first, raw)));
  const unpackedHeader = await members.next();
  if (unpackedHeader.name !== OVA_XML) {
    throw new SimulatedFailure('IMPORT_ERROR_UNEXPECTED_FILE', [OVA_XML, unpackedHeader.name]);
  }
  return readOva(members, unpackedHeader);
}

async function readOva(members: MemberReader, header: TarHeader): Promise<OpenArchive> {
  return { ovaXml: (await members.content(header)).toString('utf8'), members };
}

async function* unpacked(first: Buffer, rest: ByteReader): AsyncGenerator<Buffer> {
  const unpacker = first.subarray(0, ZSTD_MAGIC.length).equals(ZSTD_MAGIC) ? zstdUnpacker() : zlib.createGunzip();
  const packed = Readable.from(joined(first, rest));
  packed.on('error', () => unpacker.end());
  try {
    for await (const piece of packed.pipe(unpacker)) yield piece as Buffer;
  } catch {
    // A broken stream is an end of the stream to the reader: the unpacking process dies and its pipe closes.
  } finally {
    packed.destroy();
    unpacker.destroy();
  }
}

async function* joined(first: Buffer, rest: ByteReader): AsyncGenerator<Buffer> {
  yield first;
  yield* rest.remaining();
}

function zstdUnpacker(): Transform {
  const create = zstd('createZstdDecompress');
  if (create === undefined) throw importError('Forkhelpers.Subprocess_failed: zstd needs Node 22.15 or newer');
  return create();
}

/** Node's zstd streams; undefined before Node 22.15. */
export function zstd(name: 'createZstdCompress' | 'createZstdDecompress'): (() => Transform) | undefined {
  return (zlib as unknown as Readonly<Record<string, (() => Transform) | undefined>>)[name];
}

/** An exception of XAPI's own that reaches the client as IMPORT_ERROR. */
export function importError(text: string): SimulatedFailure {
  return new SimulatedFailure('IMPORT_ERROR', [`INTERNAL_ERROR: [ ${text} ]`]);
}
