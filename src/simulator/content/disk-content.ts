import { KIB } from '../../common/byte-size.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type ByteSource, ZERO_NAME, ZERO_SOURCE } from './byte-source.js';
import { knownSources } from './known-sources.js';
import { type UnitBitmap } from './unit-bitmap.js';

/** Writes are kept in pieces of this size: the granularity of changed-block tracking. */
export const UNIT_BYTES = 64 * KIB;
const ZEROES = Buffer.alloc(UNIT_BYTES);

/** One written piece: bytes of its own, or what a source has at the same offset. Never changed once made. */
interface Unit {
  readonly name: string;
  readonly data: Buffer | undefined;
  readonly source: ByteSource;
}

let unitCount = 0;

/**
 * The bytes of one virtual disk: a source nobody changes, and what was written over it. A snapshot or clone shares
 * both until one side writes, and costs nothing. Offsets and lengths in bytes; reading past the end gives zeroes.
 */
export class DiskContent {
  readonly #base: ByteSource;
  readonly #baseBytes: number;
  #sizeBytes: number;
  #units: Map<number, Unit>;
  #isShared = false;
  #overlayBytes = 0;
  #writeLog: UnitBitmap | undefined;

  constructor(sizeBytes: number, base: ByteSource = ZERO_SOURCE) {
    this.#sizeBytes = sizeBytes;
    this.#baseBytes = sizeBytes;
    this.#base = base;
    this.#units = new Map<number, Unit>();
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Bytes that take space: what was written and isn't zero, and the filled parts of what lies under it. */
  get allocatedBytes(): number {
    return this.#base.allocatedBytes(this.#baseBytes) + this.#overlayBytes;
  }

  /** A copy of the bytes. */
  read(offset: number, length: number): Buffer {
    const target = Buffer.allocUnsafeSlow(length);
    this.readInto(target, offset);
    return target;
  }

  /** Fills all of `target`; the way to read without allocating. */
  readInto(target: Buffer, offset: number): void {
    const end = offset + target.length;
    for (let from = offset; from < end;) {
      const unit = this.#units.get(Math.floor(from / UNIT_BYTES));
      const to = unit === undefined ? this.#endOfUnwritten(from, end) : Math.min(end, nextUnit(from));
      const piece = target.subarray(from - offset, to - offset);
      if (unit === undefined) this.#readBase(piece, from);
      else if (unit.data === undefined) unit.source.fill(piece, from);
      else unit.data.copy(piece, 0, from % UNIT_BYTES);
      from = to;
    }
  }

  /** Writes a copy of `data`. Throws VDI_IO_ERROR past the end of the disk. */
  write(offset: number, data: Buffer): void {
    if (offset < 0 || offset + data.length > this.#sizeBytes) {
      throw new SimulatedFailure('VDI_IO_ERROR', ['Device I/O errors']);
    }
    this.#unshare();
    for (let done = 0; done < data.length;) {
      const position = offset + done;
      const take = Math.min(nextUnit(position) - position, data.length - done);
      this.#writeUnit(Math.floor(position / UNIT_BYTES), position % UNIT_BYTES, data.subarray(done, done + take));
      done += take;
    }
  }

  /** Notes every write in `log` from now on, whatever it changes; undefined: no longer. Snapshots and clones do not. */
  trackWrites(log: UnitBitmap | undefined): void {
    this.#writeLog = log;
  }

  /** True when all these bytes are zero; looks at them only where no rule says so. */
  isZero(offset: number, length: number): boolean {
    if (this.isKnownZero(offset, length)) return true;
    const scratch = Buffer.allocUnsafe(Math.min(UNIT_BYTES, length));
    for (let from = offset; from < offset + length; from += UNIT_BYTES) {
      const piece = scratch.subarray(0, Math.min(UNIT_BYTES, offset + length - from));
      if (this.isKnownZero(from, piece.length)) continue;
      this.readInto(piece, from);
      if (!isAllZero(piece)) return false;
    }
    return true;
  }

  /** True when all these bytes are zero without looking at any; false means that one has to look. */
  isKnownZero(offset: number, length: number): boolean {
    const end = offset + length;
    for (let from = offset; from < end;) {
      const unit = this.#units.get(Math.floor(from / UNIT_BYTES));
      const to = unit === undefined ? this.#endOfUnwritten(from, end) : Math.min(end, nextUnit(from));
      if (unit === undefined ? !this.#isBaseZero(from, to) : unit.name !== ZERO_NAME) return false;
      from = to;
    }
    return true;
  }

  /**
   * A name for these bytes: equal names and lengths mean equal bytes, over all disks of this process. Lets a checksum
   * be worked out once for a block and all its snapshots, clones and restores.
   */
  nameOf(offset: number, length: number): string {
    const end = offset + length;
    const pieces: { from: number; to: number; source: ByteSource | undefined; name: string }[] = [];
    for (let from = offset; from < end;) {
      const unit = this.#units.get(Math.floor(from / UNIT_BYTES));
      const to = unit === undefined ? this.#endOfUnwritten(from, end) : Math.min(end, nextUnit(from));
      const isPlain = unit === undefined ? to <= this.#baseBytes : unit.data === undefined;
      const source = isPlain ? (unit?.source ?? this.#base) : undefined;
      const last = pieces.at(-1);
      if (last !== undefined && source !== undefined && last.source === source) last.to = to;
      else pieces.push({ from, to, source, name: unit?.name ?? 'past' });
      from = to;
    }
    const names = pieces.map(({ from, to, source, name }) =>
      source === undefined ? `${name}/${from % UNIT_BYTES}+${to - from}` : source.nameOf(from, to - from),
    );
    if (names.every((name) => name === ZERO_NAME)) return ZERO_NAME;
    return pieces.length === 1
      ? (names[0] ?? ZERO_NAME)
      : pieces.map(({ to }, i) => `${names[i] ?? ''}<${to - offset}`).join('|');
  }

  /** The disk as it is now; writing to either does not change the other. */
  snapshot(): DiskContent {
    const copy = new DiskContent(this.#baseBytes, this.#base);
    copy.#sizeBytes = this.#sizeBytes;
    copy.#units = this.#units;
    copy.#overlayBytes = this.#overlayBytes;
    copy.#isShared = true;
    this.#isShared = true;
    return copy;
  }

  /** The same as a snapshot: nothing tells the two apart. */
  clone(): DiskContent {
    return this.snapshot();
  }

  /** Grows the disk by zeroes. A disk cannot shrink: throws VDI_IO_ERROR. */
  resize(sizeBytes: number): void {
    if (sizeBytes < this.#sizeBytes) throw new SimulatedFailure('VDI_IO_ERROR', ['Cannot shrink the disk']);
    this.#sizeBytes = sizeBytes;
  }

  /** The 64 KiB pieces written since `earlier`, a snapshot of this disk; undefined when the two are unrelated. */
  changedUnits(earlier: DiskContent): readonly number[] | undefined {
    if (earlier.#base !== this.#base) return undefined;
    const changed = new Set<number>();
    for (const [index, unit] of this.#units) if (earlier.#units.get(index) !== unit) changed.add(index);
    for (const index of earlier.#units.keys()) if (!this.#units.has(index)) changed.add(index);
    for (let at = earlier.#sizeBytes; at < this.#sizeBytes; at = nextUnit(at)) changed.add(Math.floor(at / UNIT_BYTES));
    return [...changed].sort((a, b) => a - b);
  }

  /** The blocks of `blockBytes` (a multiple of 64 KiB) that no rule says are zero, ascending. */
  allocatedBlocks(blockBytes: number): readonly number[] {
    const unitsPerBlock = blockBytes / UNIT_BYTES;
    const written = new Set<number>();
    for (const index of this.#units.keys()) written.add(Math.floor(index / unitsPerBlock));
    const allocated: number[] = [];
    for (let block = 0; block * blockBytes < this.#sizeBytes; block += 1) {
      const from = block * blockBytes;
      const to = Math.min(from + blockBytes, this.#sizeBytes);
      const isZero = written.has(block)
        ? this.isKnownZero(from, to - from)
        : this.#isBaseZero(from, Math.min(to, Math.max(from, this.#baseBytes)));
      if (!isZero) allocated.push(block);
    }
    return allocated;
  }

  /**
   * The blocks of `blockBytes` (a multiple of 64 KiB) that either this disk or `earlier` wrote since they were one,
   * ascending; undefined when they never were.
   */
  changedBlocks(earlier: DiskContent, blockBytes: number): readonly number[] | undefined {
    if (earlier.#base !== this.#base || earlier.#baseBytes !== this.#baseBytes) return undefined;
    const unitsPerBlock = blockBytes / UNIT_BYTES;
    const changed = new Set<number>();
    const compare = (mine: ReadonlyMap<number, Unit>, other: ReadonlyMap<number, Unit>): void => {
      for (const [index, unit] of mine) if (other.get(index) !== unit) changed.add(Math.floor(index / unitsPerBlock));
    };
    if (earlier.#units !== this.#units) {
      compare(this.#units, earlier.#units);
      compare(earlier.#units, this.#units);
    }
    return [...changed].filter((block) => block * blockBytes < this.#sizeBytes).sort((a, b) => a - b);
  }

  #endOfUnwritten(from: number, end: number): number {
    let to = nextUnit(from);
    if (this.#units.size === 0) to = end;
    while (to < end && !this.#units.has(to / UNIT_BYTES)) to += UNIT_BYTES;
    const limit = from < this.#baseBytes ? this.#baseBytes : end;
    return Math.min(to, end, limit);
  }

  #isBaseZero(from: number, to: number): boolean {
    return from >= this.#baseBytes || this.#base.isKnownZero(from, to - from);
  }

  #readBase(piece: Buffer, from: number): void {
    if (from >= this.#baseBytes) piece.fill(0);
    else this.#base.fill(piece, from);
  }

  #unshare(): void {
    if (!this.#isShared) return;
    this.#units = new Map(this.#units);
    this.#isShared = false;
  }

  #writeUnit(index: number, within: number, data: Buffer): void {
    const start = index * UNIT_BYTES;
    const isWhole = data.length === UNIT_BYTES;
    let bytes = data;
    if (!isWhole) {
      bytes = Buffer.allocUnsafeSlow(UNIT_BYTES);
      this.readInto(bytes, start);
      data.copy(bytes, within);
    }
    const before = this.#units.get(index);
    const unit = unitFor(bytes, start, isWhole);
    this.#overlayBytes += (unit.name === ZERO_NAME ? 0 : UNIT_BYTES) - this.#chargeOf(before, start);
    this.#units.set(index, unit);
    this.#writeLog?.set(index);
  }

  /** What the piece counted for so far: as much as it took in the overlay, or in what lies under it. */
  #chargeOf(before: Unit | undefined, start: number): number {
    if (before !== undefined) return before.name === ZERO_NAME ? 0 : UNIT_BYTES;
    if (start >= this.#baseBytes) return 0;
    return this.#base.allocatedBytes(Math.min(start + UNIT_BYTES, this.#baseBytes)) - this.#base.allocatedBytes(start);
  }
}

/** All zero, found at the speed of a memory comparison. */
export function isAllZero(bytes: Buffer): boolean {
  for (let from = 0; from < bytes.length; from += UNIT_BYTES) {
    const length = Math.min(UNIT_BYTES, bytes.length - from);
    if (ZEROES.compare(bytes, from, from + length, 0, length) !== 0) return false;
  }
  return true;
}

function nextUnit(position: number): number {
  return (Math.floor(position / UNIT_BYTES) + 1) * UNIT_BYTES;
}

function unitFor(bytes: Buffer, start: number, mustCopy: boolean): Unit {
  if (isAllZero(bytes)) return { name: ZERO_NAME, data: undefined, source: ZERO_SOURCE };
  const source = knownSources.find(bytes, start);
  if (source !== undefined) return { name: 'source', data: undefined, source };
  unitCount += 1;
  const data = mustCopy ? Buffer.from(bytes) : bytes;
  return { name: `unit:${unitCount}`, data, source: ZERO_SOURCE };
}
