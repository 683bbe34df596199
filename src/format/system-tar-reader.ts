import { FormatError } from './format-error.js';
import { headerChecksum, isZeroBlock, TAR_BLOCK_BYTES, tarPaddingBytes } from './tar-header.js';

/** Where a control domain says what it is. */
export const INVENTORY_PATH = 'etc/xensource-inventory';
const MAX_INVENTORY_BYTES = 64 * 1024;

const NAME_BYTES = 100;
const SIZE = { at: 124, length: 12 };
const CHECKSUM = { at: 148, length: 8 };
const TYPE_AT = 156;
/** GNU's sparse members: more of the map follows in blocks of its own. */
const HAS_MORE_MAP_AT = 482;
const MAP_HAS_MORE_AT = 504;
/** Links, devices, folders and pipes have no content, whatever their size field says. */
const WITHOUT_CONTENT = '123456';

export interface SystemTarSummary {
  readonly bytes: number;
  /** Files, folders, links and all. */
  readonly members: number;
  readonly inventory: string;
}

/**
 * Walks over the tar of a file system as GNU tar writes it, long names and sparse files included: every header must match
 * its checksum, and two zero blocks must close it. Keeps nothing but one header and the control domain's inventory.
 */
export class SystemTarReader {
  readonly #block = Buffer.alloc(TAR_BLOCK_BYTES);
  #part: 'header' | 'map' | 'content' | 'end' = 'header';
  #gathered = 0;
  /** Bytes of the current content, its padding included, that are still to come. */
  #missing = 0;
  #contentBytes = 0;
  #inventory: Buffer[] | undefined;
  #hasInventory = false;
  #zeroBlocks = 0;
  #members = 0;
  #position = 0;

  /** @throws {FormatError} as soon as something is wrong. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      const rest = chunk.subarray(at);
      const taken = this.#part === 'content' ? this.#passContent(rest) : this.#passBlock(rest);
      at += taken;
      this.#position += taken;
    }
  }

  /** @throws {FormatError} when the archive is not closed or has no inventory. */
  end(): SystemTarSummary {
    if (this.#part !== 'end') throw new FormatError('The tar archive breaks off', { offsetBytes: this.#position });
    if (!this.#hasInventory) throw new FormatError(`The archive has no ${INVENTORY_PATH}`);
    const inventory = Buffer.concat(this.#inventory ?? []).toString('utf8');
    return { bytes: this.#position, members: this.#members, inventory };
  }

  #passContent(piece: Buffer): number {
    const taken = Math.min(piece.length, this.#missing);
    if (this.#contentBytes > 0) {
      const content = piece.subarray(0, Math.min(taken, this.#contentBytes));
      this.#contentBytes -= content.length;
      this.#inventory?.push(Buffer.from(content));
    }
    this.#missing -= taken;
    if (this.#missing === 0) this.#part = 'header';
    return taken;
  }

  #passBlock(piece: Buffer): number {
    const taken = Math.min(piece.length, TAR_BLOCK_BYTES - this.#gathered);
    piece.copy(this.#block, this.#gathered, 0, taken);
    this.#gathered += taken;
    if (this.#gathered === TAR_BLOCK_BYTES) {
      this.#gathered = 0;
      if (this.#part === 'map') this.#begin(this.#block[MAP_HAS_MORE_AT] === 1);
      else this.#header();
    }
    return taken;
  }

  #header(): void {
    const block = this.#block;
    if (isZeroBlock(block)) {
      this.#zeroBlocks += 1;
      if (this.#zeroBlocks === 2) this.#part = 'end';
      return;
    }
    if (this.#zeroBlocks > 0) throw this.#damage('A tar archive goes on after its end');
    const stored = this.#number(CHECKSUM, 'checksum');
    const computed = headerChecksum(block);
    if (stored !== computed) throw this.#damage('A member header does not match its checksum');
    const type = String.fromCharCode(block[TYPE_AT] ?? 0);
    const sizeBytes = WITHOUT_CONTENT.includes(type) ? 0 : this.#number(SIZE, 'size');
    this.#contentBytes = sizeBytes;
    this.#missing = sizeBytes + tarPaddingBytes(sizeBytes);
    this.#watchInventory(type, sizeBytes);
    // Long names and extended headers belong to the member that follows.
    if (!'LKxg'.includes(type)) this.#members += 1;
    this.#begin(type === 'S' && block[HAS_MORE_MAP_AT] === 1);
  }

  #begin(hasMap: boolean): void {
    this.#part = hasMap ? 'map' : this.#missing > 0 ? 'content' : 'header';
  }

  #watchInventory(type: string, sizeBytes: number): void {
    if (this.#hasInventory) {
      // What was gathered is the first one's; the content of others passes by.
      this.#contentBytes = 0;
      return;
    }
    const end = this.#block.indexOf(0);
    const name = this.#block.toString('utf8', 0, end < 0 ? NAME_BYTES : Math.min(end, NAME_BYTES));
    const isWanted = (type === '0' || type === '\0') && name.replace(/^\.?\//, '') === INVENTORY_PATH;
    if (!isWanted || sizeBytes > MAX_INVENTORY_BYTES) {
      this.#contentBytes = 0;
      return;
    }
    this.#hasInventory = true;
    this.#inventory = [];
  }

  /** Octal digits, or GNU's binary form for what does not fit. */
  #number({ at, length }: { readonly at: number; readonly length: number }, what: string): number {
    const field = this.#block.subarray(at, at + length);
    if (((field[0] ?? 0) & 0x80) !== 0) {
      const value = field.subarray(length - 8).readBigUInt64BE() & 0x7fffffffffffffffn;
      if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#damage(`A member header without a readable ${what}`);
      return Number(value);
    }
    const digits = /^ *([0-7]+)[ \0]*$/.exec(field.toString('latin1'))?.[1];
    if (digits === undefined) throw this.#damage(`A member header without a readable ${what}`);
    return parseInt(digits, 8);
  }

  #damage(what: string): FormatError {
    // The position is told of the block's end; the block begins before it.
    return new FormatError(what, { offsetBytes: Math.max(0, this.#position) });
  }
}
