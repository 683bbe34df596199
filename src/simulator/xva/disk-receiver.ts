import { type BlockChecksums, blockChecksums, type ChecksumKind } from '../content/block-checksums.js';
import { type DiskContent, isAllZero } from '../content/disk-content.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { importError, type MemberReader } from './archive-reader.js';
import { tarPadding, type TarHeader } from './tar-header.js';
import { CHUNK_BYTES } from './xva-writer.js';

const KINDS: ReadonlyMap<string, ChecksumKind> = new Map([
  ['.xxhash', 'xxhash'],
  ['.checksum', 'sha1'],
]);
const MAX_CHUNK_BYTES = 256 * CHUNK_BYTES;

/** A disk to fill: the folder its chunks are in, the size that `ova.xml` tells, and where to. */
export interface ReceivedDisk {
  readonly id: string;
  readonly sizeBytes: number;
  readonly content: DiskContent;
}

export interface ReceiveOptions {
  /** Wrong checksums are let pass. */
  readonly force: boolean;
  /** Checksums follow each chunk (export_vsn above 0). */
  readonly hasChecksums: boolean;
  /** How many bytes that are not zero there is room for; beyond it VDI_IO_ERROR. */
  readonly roomBytes: number;
  /** Called after each chunk with the bytes of disk passed, left-out ones included; may throw to stop. */
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

/** Reads the chunks of all disks, sorted by folder, into them (facts 5.3). Stops right after the last one's last byte. */
export async function receiveDisks(
  members: MemberReader,
  disks: readonly ReceivedDisk[],
  options: ReceiveOptions,
): Promise<void> {
  const checksums = await blockChecksums();
  const receiver = new DiskReceiver(
    members,
    checksums,
    options,
    disks.reduce((sum, disk) => sum + disk.sizeBytes, 0),
  );
  for (const disk of [...disks].sort((a, b) => (a.id < b.id ? -1 : 1))) await receiver.receive(disk);
}

class DiskReceiver {
  readonly #members: MemberReader;
  readonly #checksums: BlockChecksums;
  readonly #options: ReceiveOptions;
  readonly #totalBytes: number;
  #buffer = Buffer.alloc(0);
  #doneBytes = 0;
  #writtenBytes = 0;
  /** Of the first chunk of the whole archive; how much a left-out number stands for. */
  #firstLength: number | undefined;

  constructor(members: MemberReader, checksums: BlockChecksums, options: ReceiveOptions, totalBytes: number) {
    this.#members = members;
    this.#checksums = checksums;
    this.#options = options;
    this.#totalBytes = totalBytes;
  }

  async receive(disk: ReceivedDisk): Promise<void> {
    let lastSuffix = '-1';
    for (let offset = 0; offset < disk.sizeBytes;) {
      const header = await this.#members.next();
      this.#firstLength ??= header.sizeBytes;
      const suffix = suffixOf(header.name, disk.id);
      // Compared as text, as XAPI does; it works because numbers are padded.
      if (suffix <= lastSuffix) throw importError('Failure("Invalid XVA file")');
      const skipped = (numberOf(suffix) - numberOf(lastSuffix) - 1) * this.#firstLength;
      await this.#chunk(disk, header, offset + skipped);
      lastSuffix = suffix;
      offset += skipped + header.sizeBytes;
      this.#doneBytes += skipped + header.sizeBytes;
      this.#options.onProgress(this.#doneBytes, this.#totalBytes);
    }
  }

  async #chunk(disk: ReceivedDisk, header: TarHeader, offset: number): Promise<void> {
    if (header.sizeBytes > MAX_CHUNK_BYTES) throw importError('Out of memory');
    if (this.#buffer.length < header.sizeBytes) this.#buffer = Buffer.allocUnsafeSlow(header.sizeBytes);
    const data = this.#buffer.subarray(0, header.sizeBytes);
    await this.#members.bytes.readInto(data);
    await this.#members.bytes.skip(tarPadding(header.sizeBytes));
    if (!isAllZero(data)) this.#writtenBytes += data.length;
    const isPastEnd = offset + data.length > disk.content.sizeBytes;
    if (isPastEnd || this.#writtenBytes > this.#options.roomBytes) {
      throw new SimulatedFailure('VDI_IO_ERROR', ['Device I/O error']);
    }
    if (!isAllZero(data) || !disk.content.isKnownZero(offset, data.length)) disk.content.write(offset, data);
    await this.#checksum(header.name, data);
  }

  async #checksum(name: string, data: Buffer): Promise<void> {
    const header = await this.#members.next();
    const extension = /\.[^./]*$/.exec(header.name)?.[0] ?? '';
    const kind = KINDS.get(extension);
    if (kind === undefined) throw importError(`Failure("Found unsupported checksum file: ${header.name}")`);
    const original = (await this.#members.content(header)).toString('latin1');
    const covered = header.name.slice(0, -extension.length);
    if (!this.#options.hasChecksums) return;
    if (covered !== name) throw importError('Not_found');
    const recomputed = this.#checksums.of(kind, data);
    if (original === recomputed || this.#options.force) return;
    throw importError(
      `Stream_vdi.Invalid_checksum("Block ${name} checksum failed: original = ${original}; recomputed = ${recomputed}")`,
    );
  }
}

function suffixOf(name: string, id: string): string {
  if (!name.startsWith(id)) throw importError('Failure("Invalid XVA file")');
  return name.slice(id.length + 1);
}

function numberOf(suffix: string): number {
  if (!/^-?\d+$/.test(suffix)) throw importError('Failure("int_of_string")');
  return Number.parseInt(suffix, 10);
}
