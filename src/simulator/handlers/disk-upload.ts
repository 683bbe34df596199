import { type DiskContent, isAllZero } from '../content/disk-content.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { BadVhd } from '../vhd/vhd-fields.js';
import { readVhd } from '../vhd/vhd-reader.js';
import { MemberReader } from '../xva/archive-reader.js';
import { ByteReader } from '../xva/byte-reader.js';
import { receiveDisks } from '../xva/disk-receiver.js';
import { ioError } from './raw-vdi-request.js';

/** The head of a piece in the chunked protocol: where it goes (64 bits) and how long it is (32), both little-endian. */
const CHUNK_HEAD_BYTES = 12;
const PIECE_BYTES = 1024 * 1024;

/** A disk that an upload goes to. */
export interface UploadTarget {
  readonly content: DiskContent;
  /** Call it after each write: throws when the storage is full. */
  readonly assertRoom: () => void;
  readonly onProgress: (done: number, total: number) => void;
}

/** `lengthBytes` from the start of the disk on. Throws VDI_IO_ERROR when the stream ends before, or the disk does. */
export async function receiveRaw(
  body: AsyncIterable<Buffer>,
  lengthBytes: number,
  target: UploadTarget,
): Promise<void> {
  if (lengthBytes === 0) throw ioError();
  let offset = 0;
  for await (const piece of body) {
    const wanted = piece.subarray(0, lengthBytes - offset);
    put(target, offset, wanted);
    offset += wanted.length;
    target.onProgress(offset, lengthBytes);
    if (offset === lengthBytes) return;
  }
  throw ioError();
}

/** Pieces that say where they go, until an empty one at 0. Throws VDI_IO_ERROR. */
export function receiveChunked(body: AsyncIterable<Buffer>, target: UploadTarget): Promise<void> {
  return asProgram(async () => {
    const reader = new ByteReader(body);
    const data = Buffer.allocUnsafeSlow(PIECE_BYTES);
    for (;;) {
      const head = await reader.read(CHUNK_HEAD_BYTES);
      const offset = Number(head.readBigUInt64LE(0));
      const length = head.readUInt32LE(8);
      if (offset === 0 && length === 0) return;
      for (let done = 0; done < length; done += PIECE_BYTES) {
        const piece = data.subarray(0, Math.min(PIECE_BYTES, length - done));
        await reader.readInto(piece);
        put(target, offset + done, piece);
      }
    }
  });
}

/** An image, dynamic or differencing; `streamBytes` is how long the stream claims to be. Throws VDI_IO_ERROR. */
export function receiveVhd(body: AsyncIterable<Buffer>, streamBytes: number, target: UploadTarget): Promise<void> {
  return asProgram(async () => {
    const write = (offset: number, data: Buffer): void => {
      put(target, offset, data);
    };
    await readVhd(new ByteReader(body), write, { streamBytes, onProgress: target.onProgress });
  });
}

/** The chunks of a disk as in an archive, in `folder`. XAPI reads them itself, so failures have names of its own. */
export async function receiveTar(
  body: AsyncIterable<Buffer>,
  folder: string,
  roomBytes: number,
  target: UploadTarget,
): Promise<void> {
  const disk = { id: folder, sizeBytes: target.content.sizeBytes, content: target.content };
  const options = { force: false, hasChecksums: true, roomBytes, onProgress: target.onProgress };
  try {
    await receiveDisks(new MemberReader(new ByteReader(body)), [disk], options);
  } catch (thrown) {
    if (!(thrown instanceof SimulatedFailure)) throw thrown;
    if (thrown.code === 'IMPORT_ERROR_PREMATURE_EOF') throw new SimulatedFailure('INTERNAL_ERROR', ['End_of_file']);
    const inner = /^INTERNAL_ERROR: \[ (.*) \]$/s.exec(thrown.params[0] ?? '')?.[1];
    throw inner === undefined ? thrown : new SimulatedFailure('INTERNAL_ERROR', [inner]);
  }
}

/** Writes what fits; throws VDI_IO_ERROR when that is not all. Zeroes over zeroes take no space. */
function put({ content, assertRoom }: UploadTarget, offset: number, data: Buffer): void {
  const fitting = data.subarray(0, Math.max(0, content.sizeBytes - offset));
  if (!isAllZero(fitting) || !content.isKnownZero(offset, fitting.length)) content.write(offset, fitting);
  assertRoom();
  if (fitting.length < data.length) throw ioError();
}

/** What the program that XAPI runs for it finds wrong with its input is one and the same error to XAPI. */
async function asProgram(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    const isShort = thrown instanceof SimulatedFailure && thrown.code === 'IMPORT_ERROR_PREMATURE_EOF';
    throw isShort || thrown instanceof BadVhd ? ioError() : thrown;
  }
}
