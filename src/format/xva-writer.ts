import { createHash } from 'node:crypto';
import { type ByteRun } from '../common/byte-extent.js';
import { KIB, MIB } from '../common/byte-size.js';
import { type DiskTotals } from './disk-coverage.js';
import { FormatError } from './format-error.js';
import { serialiseOvaXml, type XvaArchive } from './ova-xml.js';
import { headerChecksum, TAR_BLOCK_BYTES, tarPaddingBytes } from './tar-header.js';
import { type XmlRpcValue } from './xml-rpc-value.js';
import { type BlockChecksumKind } from './xva-reader.js';
import { Xxh64 } from './xxh64.js';

/** What XAPI writes; a disk's last block may be shorter. */
export const XVA_BLOCK_BYTES = MIB;
/** XAPI since 1.170 reads and writes XXH64, before only SHA-1 (facts 5.4). */
const XXHASH_SINCE = { major: 1, minor: 170 };
const CHECKSUM_DIGITS: Readonly<Record<BlockChecksumKind, number>> = { xxhash: 16, checksum: 40 };
const ZEROES = Buffer.alloc(64 * KIB);

/** A disk to write. */
export interface XvaDisk {
  /** Its id in `ova.xml`: the folder of its blocks. */
  readonly id: string;
  readonly sizeBytes: number;
  /** False only for a stretch that has no run: its block is left out. */
  readonly mayHave: (offsetBytes: number, lengthBytes: number) => boolean;
}

/** An archive before its data: its length and all that `XvaReader` would say of it. */
export interface XvaPlan {
  /** Exact length. */
  readonly bytes: number;
  /** `ova.xml` as a member. */
  readonly head: Buffer;
  readonly checksumKind: BlockChecksumKind;
  readonly blocks: number;
  readonly zeroBytesSkipped: number;
  readonly disks: readonly DiskTotals[];
}

/** What ends an archive. */
export const XVA_END = Buffer.alloc(2 * TAR_BLOCK_BYTES);

/**
 * Lays an archive out as XAPI's exporter does (facts 5.1, 5.3): `ova.xml`, the blocks of each disk with their checksums,
 * the first and the last always, those between only where there may be data. The kind of checksum is what the XAPI that
 * wrote the records understands.
 * @param disks in the order of their ids, as `archiveDisks` gives them.
 */
export function planXva(archive: XvaArchive, disks: readonly XvaDisk[]): XvaPlan {
  const body = serialiseOvaXml(archive);
  const head = Buffer.concat([tarHeader('ova.xml', body.length), body, Buffer.alloc(tarPaddingBytes(body.length))]);
  const checksumKind = checksumKindFor(archive);
  let bytes = head.length + XVA_END.length;
  let blocks = 0;
  const totals = disks.map((disk): DiskTotals => {
    let storedBytes = 0;
    for (const { lengthBytes } of blocksOf(disk)) {
      blocks += 1;
      storedBytes += lengthBytes;
      bytes += 3 * TAR_BLOCK_BYTES + lengthBytes + tarPaddingBytes(lengthBytes);
    }
    return { id: disk.id, sizeBytes: disk.sizeBytes, storedBytes };
  });
  const zeroBytesSkipped = totals.reduce((sum, { sizeBytes, storedBytes }) => sum + sizeBytes - storedBytes, 0);
  return { bytes, head, checksumKind, blocks, zeroBytesSkipped, disks: totals };
}

/**
 * The blocks of one disk with their headers and checksums. Nothing is copied; zeroes are put where there is no run.
 * @param runs ascending; read to its end before the generator ends.
 * @throws {FormatError} for a run where no data was planned.
 */
export async function* writeXvaDisk(
  disk: XvaDisk,
  kind: BlockChecksumKind,
  runs: AsyncIterable<ByteRun>,
): AsyncGenerator<Buffer> {
  const source = runs[Symbol.asyncIterator]() as AsyncIterator<ByteRun, undefined>;
  const digest = newDigest(kind);
  try {
    let run = (await source.next()).value;
    for (const { number, offsetBytes, lengthBytes } of blocksOf(disk)) {
      const name = `${disk.id}/${String(number).padStart(8, '0')}`;
      yield tarHeader(name, lengthBytes);
      const end = offsetBytes + lengthBytes;
      for (let at = offsetBytes; at < end;) {
        const start = run?.offsetBytes ?? end;
        if (start < at) throw misplaced(disk, start);
        const piece: Buffer =
          run === undefined || start > at
            ? ZEROES.subarray(0, Math.min(ZEROES.length, Math.min(start, end) - at))
            : run.data.subarray(0, end - at);
        digest.update(piece);
        yield piece;
        at += piece.length;
        if (run === undefined || start >= at) continue;
        run =
          piece.length < run.data.length
            ? { offsetBytes: at, data: run.data.subarray(piece.length) }
            : (await source.next()).value;
      }
      yield endOfBlock(name, lengthBytes, kind, digest.finish());
    }
    if (run !== undefined) throw misplaced(disk, run.offsetBytes);
  } finally {
    await source.return?.();
  }
}

interface BlockPlace {
  readonly number: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

function* blocksOf({ sizeBytes, mayHave }: XvaDisk): Generator<BlockPlace> {
  const last = Math.ceil(sizeBytes / XVA_BLOCK_BYTES) - 1;
  for (let number = 0; number <= last; number += 1) {
    const offsetBytes = number * XVA_BLOCK_BYTES;
    const lengthBytes = Math.min(XVA_BLOCK_BYTES, sizeBytes - offsetBytes);
    if (number === 0 || number === last || mayHave(offsetBytes, lengthBytes))
      yield { number, offsetBytes, lengthBytes };
  }
}

/** The block's padding and its checksum as a member. */
function endOfBlock(name: string, lengthBytes: number, kind: BlockChecksumKind, checksum: string): Buffer {
  const body = Buffer.alloc(TAR_BLOCK_BYTES);
  body.write(checksum, 'latin1');
  const padding = Buffer.alloc(tarPaddingBytes(lengthBytes));
  return Buffer.concat([padding, tarHeader(`${name}.${kind}`, CHECKSUM_DIGITS[kind]), body]);
}

function newDigest(kind: BlockChecksumKind): { update(piece: Buffer): void; finish(): string } {
  if (kind === 'xxhash') {
    const xxh64 = new Xxh64();
    return {
      update: (piece) => {
        xxh64.update(piece);
      },
      finish: () => xxh64.digest(),
    };
  }
  let sha1 = createHash('sha1');
  return {
    update: (piece) => {
      sha1.update(piece);
    },
    finish: () => {
      const found = sha1.digest('hex');
      sha1 = createHash('sha1');
      return found;
    },
  };
}

function checksumKindFor({ version }: XvaArchive): BlockChecksumKind {
  const [major, minor] = [numberOf(version.xapi_major), numberOf(version.xapi_minor)];
  if (Number.isNaN(major) || Number.isNaN(minor)) return 'xxhash';
  const isOlder = major < XXHASH_SINCE.major || (major === XXHASH_SINCE.major && minor < XXHASH_SINCE.minor);
  return isOlder ? 'checksum' : 'xxhash';
}

function numberOf(value: XmlRpcValue | undefined): number {
  if (typeof value === 'string') return parseInt(value, 10);
  return typeof value === 'object' && 'text' in value && typeof value.text === 'string'
    ? parseInt(value.text, 10)
    : NaN;
}

/** A header as XAPI writes it: V7, mode 0400, time 0. */
function tarHeader(name: string, sizeBytes: number): Buffer {
  const header = Buffer.alloc(TAR_BLOCK_BYTES);
  header.write(name, 0, 'latin1');
  header.write('0000400\x000000000\x000000000\x00', 100, 'latin1');
  header.write(`${sizeBytes.toString(8).padStart(11, '0')}\x00${'0'.repeat(11)}\x00`, 124, 'latin1');
  header.write(`${headerChecksum(header).toString(8).padStart(7, '0')}\x00`, 148, 'latin1');
  return header;
}

function misplaced(disk: XvaDisk, offsetBytes: number): FormatError {
  return new FormatError(`Data of disk ${disk.id} where none was planned`, { found: `at ${offsetBytes}` });
}
