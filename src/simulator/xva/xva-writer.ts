import { MIB } from '../../common/byte-size.js';
import { type Clock } from '../../common/clock.js';
import { type BlockChecksums, blockChecksums, type ChecksumKind } from '../content/block-checksums.js';
import { type DiskContent, isAllZero } from '../content/disk-content.js';
import { type ByteSink, FrameRing } from './frame-ring.js';
import { TAR_BLOCK_BYTES, tarPadding, writeTarHeader } from './tar-header.js';

/** The size of a chunk; only a disk's last one may be shorter. */
export const CHUNK_BYTES = MIB;
const EXTENSIONS = { xxhash: '.xxhash', sha1: '.checksum' } as const;
/** Known zeroes are skipped without a wait; every so many chunks others get their turn. */
const CHUNKS_PER_TURN = 4096;

/** A disk to write: the folder of its chunks, and its bytes. */
export interface XvaDisk {
  readonly id: string;
  readonly content: DiskContent;
}

export interface XvaArchive {
  readonly ovaXml: string;
  readonly disks: readonly XvaDisk[];
  readonly checksum: ChecksumKind;
}

/** What goes on beside the bytes. */
export interface XvaPace {
  readonly clock: Clock;
  /** An empty member goes out when no chunk did for so long, so that idle connections live; 5000 with XAPI. */
  readonly keepAliveAfterMs: number;
  /** Chunk numbers at which an empty member is written in any case. The first chunk of a disk cannot be one. */
  readonly keepAliveChunks: readonly number[];
  /** Called after each chunk, skipped ones included, with the bytes of disk passed; may throw to stop. */
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

/** `ova.xml` as a member of its own, and the two blocks that end the archive: all of a metadata archive. */
export function metadataArchive(ovaXml: string, mtimeSeconds: number): Buffer {
  return Buffer.concat([ovaMember(ovaXml, mtimeSeconds), Buffer.alloc(2 * TAR_BLOCK_BYTES)]);
}

/**
 * Writes a whole archive as XAPI's classic exporter does (facts 5.1, 5.3): `ova.xml`, each disk's chunks of 1 MiB with
 * their checksums, zero chunks left out but for a disk's first and last, two empty blocks.
 */
export async function writeXva(archive: XvaArchive, pace: XvaPace, sink: ByteSink): Promise<void> {
  const checksums = await blockChecksums();
  const ring = new FrameRing(CHUNK_BYTES + 4 * TAR_BLOCK_BYTES, sink);
  await sink(ovaMember(archive.ovaXml, Math.floor(pace.clock.nowMs() / 1000)));
  const totalBytes = archive.disks.reduce((sum, disk) => sum + disk.content.sizeBytes, 0);
  let doneBytes = 0;
  for (const disk of archive.disks) {
    await writeDisk(disk, archive.checksum, checksums, pace, ring, (bytes) => {
      doneBytes += bytes;
      pace.onProgress(doneBytes, totalBytes);
    });
  }
  await ring.flush();
  await sink(Buffer.alloc(2 * TAR_BLOCK_BYTES));
}

/** One disk alone, in the same layout without `ova.xml`. */
export async function writeDiskTar(
  disk: XvaDisk,
  checksum: ChecksumKind,
  pace: XvaPace,
  sink: ByteSink,
): Promise<void> {
  const ring = new FrameRing(CHUNK_BYTES + 4 * TAR_BLOCK_BYTES, sink);
  let doneBytes = 0;
  await writeDisk(disk, checksum, await blockChecksums(), pace, ring, (bytes) => {
    doneBytes += bytes;
    pace.onProgress(doneBytes, disk.content.sizeBytes);
  });
  await ring.flush();
  await sink(Buffer.alloc(2 * TAR_BLOCK_BYTES));
}

async function writeDisk(
  disk: XvaDisk,
  kind: ChecksumKind,
  checksums: BlockChecksums,
  pace: XvaPace,
  ring: FrameRing,
  onPassed: (bytes: number) => void,
): Promise<void> {
  const { id, content } = disk;
  let chunk = 0;
  let lastSentMs = pace.clock.nowMs();
  let skippedInTurn = 0;
  for (let offset = 0; offset < content.sizeBytes; offset += CHUNK_BYTES, chunk += 1) {
    const length = Math.min(CHUNK_BYTES, content.sizeBytes - offset);
    const isEdge = chunk === 0 || offset + length === content.sizeBytes;
    const nowMs = pace.clock.nowMs();
    const isIdle = nowMs - lastSentMs > pace.keepAliveAfterMs;
    if (!isEdge && (isIdle || pace.keepAliveChunks.includes(chunk))) {
      // The number goes on, the place in the disk does not.
      const frame = await ring.next();
      ring.send(frame, layOut(frame.bytes, `${id}/${digits(chunk)}`, 0, kind, checksums.of(kind, EMPTY)));
      lastSentMs = nowMs;
      chunk += 1;
    }
    if (!isEdge && content.isKnownZero(offset, length)) {
      skippedInTurn += 1;
      if (skippedInTurn % CHUNKS_PER_TURN === 0) await nextTurn();
    } else {
      const frame = await ring.next();
      const data = frame.bytes.subarray(TAR_BLOCK_BYTES, TAR_BLOCK_BYTES + length);
      content.readInto(data, offset);
      if (isEdge || !isAllZero(data)) {
        const checksum = checksums.ofNamed(kind, content.nameOf(offset, length), data);
        lastSentMs = nowMs;
        ring.send(frame, layOut(frame.bytes, `${id}/${digits(chunk)}`, length, kind, checksum));
      }
    }
    onPassed(length);
  }
}

const EMPTY = Buffer.alloc(0);

/** Puts header and checksum member around data that is already in its place; returns the length of it all. */
function layOut(bytes: Buffer, name: string, length: number, kind: ChecksumKind, checksum: string): number {
  writeTarHeader(bytes, 0, { name, sizeBytes: length, mtimeSeconds: 0 });
  const dataEnd = TAR_BLOCK_BYTES + length + tarPadding(length);
  bytes.fill(0, TAR_BLOCK_BYTES + length, dataEnd + 2 * TAR_BLOCK_BYTES);
  writeTarHeader(bytes, dataEnd, { name: name + EXTENSIONS[kind], sizeBytes: checksum.length, mtimeSeconds: 0 });
  bytes.write(checksum, dataEnd + TAR_BLOCK_BYTES, 'latin1');
  return dataEnd + 2 * TAR_BLOCK_BYTES;
}

function ovaMember(ovaXml: string, mtimeSeconds: number): Buffer {
  const text = Buffer.from(ovaXml, 'utf8');
  const member = Buffer.alloc(TAR_BLOCK_BYTES + text.length + tarPadding(text.length));
  writeTarHeader(member, 0, { name: 'ova.xml', sizeBytes: text.length, mtimeSeconds });
  text.copy(member, TAR_BLOCK_BYTES);
  return member;
}

function digits(chunk: number): string {
  return String(chunk).padStart(8, '0');
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
