import { type ByteRun } from '../common/byte-extent.js';
import { FormatError } from './format-error.js';
import { httpErrorInBody, isCompleteErrorPage, MAX_ERROR_TEXT_BYTES, startsAsHttpAnswer } from './http-error-text.js';
import { TailWindow } from './tail-window.js';
import { SectorBitmap } from './vhd-sector-bitmap.js';
import {
  blockBitmapBytes,
  DYNAMIC_HEADER_BYTES,
  FOOTER_BYTES,
  parseVhdFooter,
  parseVhdHeader,
  roundUp,
  SECTOR_BYTES,
  tableBytes,
  type VhdFooter,
  type VhdHeader,
} from './vhd-structures.js';
import { VhdTable } from './vhd-table.js';

export interface VhdReaderOptions {
  /**
   * The disk's size, when it is known from elsewhere: another one is refused. A VHD of that size rounded up to whole
   * blocks is taken, as XAPI's vhd-tool makes it of a raw disk; what lies beyond the disk is left out.
   */
  readonly diskSizeBytes?: number;
  /** Told once footer, header and block allocation table have been read. */
  readonly onHead?: (head: VhdHead) => void;
  /**
   * Told of the data that the file has, ascending: sectors that its bitmaps say are set, cut where the input's pieces
   * end. The data is part of what was pushed.
   */
  readonly onRun?: (run: ByteRun) => void;
}

/** What is known of a VHD before its first block. */
export interface VhdHead {
  /** The disk's size: what was expected, else what the footer says. */
  readonly diskSizeBytes: number;
  readonly footer: VhdFooter;
  readonly header: VhdHeader;
  /** Numbers of the blocks that the file has, ascending. */
  readonly blocks: Uint32Array;
}

export interface VhdSummary {
  readonly uuid: string;
  /** Absent when it is no differencing disk. */
  readonly parentUuid?: string;
  readonly diskSizeBytes: number;
  /** Length of the file. */
  readonly bytes: number;
  /** Bytes of the disk that are set in it. */
  readonly storedBytes: number;
  readonly blocks: number;
}

/** How XAPI's own error page begins; a disk may hold other HTTP answers. */
const POOL_ERROR = /HTTP\/1\.\d 500 Internal Error\r\n/;

type Part = 'footer-copy' | 'header' | 'table' | 'bitmap' | 'data' | 'footer' | 'end' | 'http-answer';

/**
 * Checks a dynamic or differencing VHD while it flows, and hands out the data in it: push what arrives, in pieces of any
 * size, then call `end`. It keeps 8 bytes for each block of the file and little else, and never copies a block's data:
 * whoever pushed a piece may fill its memory again, unless `onRun` was given parts of it.
 *
 * A `FormatError` is: a footer or header that is damaged or disagrees with the other, a table with blocks that overlap, lie
 * beyond the disk, or are not in the order of the disk (as pools and this product write them), a block or the footer
 * that is not there, anything after the footer, and an error page of the pool's in place of data. Damage inside a
 * block's data shows in no check of the format. After an error the reader is of no more use.
 */
export class VhdReader {
  readonly #options: VhdReaderOptions;
  readonly #tail = new TailWindow(MAX_ERROR_TEXT_BYTES);
  readonly #small = Buffer.alloc(DYNAMIC_HEADER_BYTES);
  readonly #footerCopy = Buffer.alloc(FOOTER_BYTES);
  #footer: VhdFooter | undefined;
  #header: VhdHeader | undefined;
  #diskSizeBytes = 0;
  #table = new VhdTable(0, 0);
  #bitmap = new SectorBitmap(0);
  #part: Part = 'footer-copy';
  /** Where the current part begins; what comes before it is of no interest. */
  #partStart = 0;
  #partBytes = FOOTER_BYTES;
  #position = 0;
  /** Blocks whose data has begun. */
  #block = 0;
  #storedBytes = 0;
  #page: Buffer[] = [];
  #isOver = false;

  constructor(options: VhdReaderOptions = {}) {
    this.#options = options;
  }

  /** @throws {FormatError} as soon as something is wrong. */
  push(chunk: Buffer): void {
    if (this.#isOver) throw new FormatError('Data after the reader was ended');
    this.#tail.push(chunk);
    let at = 0;
    while (at < chunk.length) {
      if (this.#position < this.#partStart) {
        const skipped = Math.min(this.#partStart - this.#position, chunk.length - at);
        at += skipped;
        this.#position += skipped;
        continue;
      }
      const taken = Math.min(this.#partStart + this.#partBytes - this.#position, chunk.length - at);
      this.#take(chunk.subarray(at, at + taken));
      at += taken;
      this.#position += taken;
      if (this.#position === this.#partStart + this.#partBytes) this.#completePart();
    }
  }

  /**
   * Says that nothing more comes.
   * @throws {FormatError} when the file is not complete.
   */
  end(): VhdSummary {
    this.#isOver = true;
    if (this.#part === 'http-answer') throw this.#httpAnswer();
    if (this.#part !== 'end' || this.#footer === undefined) throw this.#truncation();
    const parentUuid = this.#header?.parent?.uuid;
    return {
      uuid: this.#footer.uuid,
      ...(parentUuid === undefined ? {} : { parentUuid }),
      diskSizeBytes: this.#diskSizeBytes,
      bytes: this.#position,
      storedBytes: this.#storedBytes,
      blocks: this.#table.blocks.length,
    };
  }

  /** Takes bytes of the current part, never more than it lacks. */
  #take(piece: Buffer): void {
    const at = this.#position - this.#partStart;
    switch (this.#part) {
      case 'footer-copy':
      case 'header':
      case 'bitmap':
      case 'footer':
        piece.copy(this.#small, at);
        break;
      case 'table':
        this.#table.push(piece);
        break;
      case 'data':
        this.#takeData(piece, at);
        break;
      case 'end':
        if (!startsAsHttpAnswer(piece))
          throw new FormatError('Data after the end of the VHD', { offsetBytes: this.#position });
        this.#beginHttpAnswer(piece, this.#position);
        break;
      case 'http-answer':
        this.#takeHttpAnswer(piece);
        break;
    }
  }

  #begin(part: Part, start: number, bytes: number): void {
    if (start < this.#position) {
      const details = { offsetBytes: this.#position, expected: `${part} not before it`, found: `at ${start}` };
      throw new FormatError('Parts of the VHD that overlap', details);
    }
    this.#part = part;
    this.#partStart = start;
    this.#partBytes = bytes;
    if (bytes === 0) this.#completePart();
  }

  /** Goes on to the next part when the current one is complete. */
  #completePart(): void {
    switch (this.#part) {
      case 'footer-copy':
        this.#readFooterCopy();
        break;
      case 'header':
        this.#readHeader();
        break;
      case 'table':
        this.#readTable();
        break;
      case 'bitmap':
        this.#bitmap.read(this.#small);
        this.#begin('data', this.#position, this.#header?.blockSizeBytes ?? 0);
        break;
      case 'data':
        this.#block += 1;
        this.#beginBlock();
        break;
      case 'footer':
        this.#readFooter();
        break;
      case 'end':
      case 'http-answer':
        break;
    }
  }

  #readFooterCopy(): void {
    if (startsAsHttpAnswer(this.#small)) {
      this.#beginHttpAnswer(this.#small.subarray(0, FOOTER_BYTES), 0);
      return;
    }
    this.#small.copy(this.#footerCopy, 0, 0, FOOTER_BYTES);
    const footer = parseVhdFooter(this.#footerCopy, 0);
    if (footer.type === 'fixed' || footer.headerOffsetBytes === undefined)
      throw new FormatError('A VHD of a kind that cannot be read', { expected: 'dynamic', found: footer.type });
    this.#footer = footer;
    this.#begin('header', footer.headerOffsetBytes, DYNAMIC_HEADER_BYTES);
  }

  #readHeader(): void {
    const footer = this.#knownFooter();
    const at = this.#partStart;
    const header = parseVhdHeader(this.#small, footer.type, at);
    const { diskSizeBytes = footer.diskSizeBytes } = this.#options;
    if (![diskSizeBytes, roundUp(diskSizeBytes, header.blockSizeBytes)].includes(footer.diskSizeBytes)) {
      const details = { expected: String(diskSizeBytes), found: String(footer.diskSizeBytes) };
      throw new FormatError('A VHD of a disk of another size', details);
    }
    this.#diskSizeBytes = diskSizeBytes;
    const needed = Math.ceil(diskSizeBytes / header.blockSizeBytes);
    if (header.tableEntries < needed) {
      const details = { offsetBytes: at, expected: `${needed} entries or more`, found: String(header.tableEntries) };
      throw new FormatError('The block allocation table does not cover the disk', details);
    }
    this.#header = header;
    this.#table = new VhdTable(header.tableEntries, needed);
    this.#bitmap = new SectorBitmap(header.blockSizeBytes / SECTOR_BYTES);
    this.#begin('table', header.tableOffsetBytes, header.tableEntries * 4);
  }

  #readTable(): void {
    const [footer, header] = [this.#knownFooter(), this.#knownHeader()];
    const blockBytes = blockBitmapBytes(header.blockSizeBytes) + header.blockSizeBytes;
    const { blocks } = this.#table.finish(header.tableOffsetBytes + tableBytes(header.tableEntries), blockBytes);
    this.#options.onHead?.({ diskSizeBytes: this.#diskSizeBytes, footer, header, blocks });
    this.#beginBlock();
  }

  #beginBlock(): void {
    const { tableOffsetBytes, tableEntries, blockSizeBytes } = this.#knownHeader();
    const { sectors } = this.#table;
    const sector = sectors[this.#block];
    if (sector !== undefined) {
      this.#begin('bitmap', sector * SECTOR_BYTES, blockBitmapBytes(blockSizeBytes));
      return;
    }
    const tableEnd = tableOffsetBytes + tableBytes(tableEntries);
    this.#begin('footer', sectors.length === 0 ? tableEnd : this.#position, FOOTER_BYTES);
  }

  #readFooter(): void {
    const footer = this.#small.subarray(0, FOOTER_BYTES);
    if (!footer.equals(this.#footerCopy)) {
      if (startsAsHttpAnswer(footer)) {
        this.#beginHttpAnswer(footer, this.#partStart);
        return;
      }
      parseVhdFooter(footer, this.#partStart);
      throw new FormatError('The two footers of the VHD differ', { offsetBytes: this.#partStart });
    }
    this.#begin('end', this.#position, Infinity);
  }

  #takeData(piece: Buffer, at: number): void {
    const { blockSizeBytes } = this.#knownHeader();
    const blockStart = (this.#table.blocks[this.#block] ?? 0) * blockSizeBytes;
    // A disk's last block may reach beyond its end.
    const end = Math.min(at + piece.length, this.#diskSizeBytes - blockStart);
    this.#bitmap.forEachSet(at, end, (from, to) => {
      this.#storedBytes += to - from;
      this.#options.onRun?.({ offsetBytes: blockStart + from, data: piece.subarray(from - at, to - at) });
    });
  }

  #knownFooter(): VhdFooter {
    if (this.#footer === undefined) throw new FormatError('The VHD has no footer');
    return this.#footer;
  }

  #knownHeader(): VhdHeader {
    if (this.#header === undefined) throw new FormatError('The VHD has no header');
    return this.#header;
  }

  #beginHttpAnswer(piece: Buffer, start: number): void {
    this.#part = 'http-answer';
    this.#partStart = start;
    this.#partBytes = Infinity;
    this.#takeHttpAnswer(piece);
  }

  /** Gathers the page to its end, so that the error can say what the pool said. */
  #takeHttpAnswer(piece: Buffer): void {
    this.#page.push(Buffer.from(piece));
    const page = Buffer.concat(this.#page);
    if (page.length >= MAX_ERROR_TEXT_BYTES || isCompleteErrorPage(page.toString('latin1'))) throw this.#httpAnswer();
  }

  #httpAnswer(): FormatError {
    return httpErrorInBody(Buffer.concat(this.#page).toString('latin1'), this.#partStart);
  }

  /** Why the input ended too early: perhaps its last bytes are an error page that fell into a block. */
  #truncation(): FormatError {
    const tail = this.#tail.read().toString('latin1');
    const isShortPage = this.#position < FOOTER_BYTES && startsAsHttpAnswer(this.#small.subarray(0, this.#position));
    const start = isShortPage ? 0 : tail.search(POOL_ERROR);
    if (start >= 0) return httpErrorInBody(tail.slice(start), this.#position - tail.length + start);
    const expected = this.#part === 'end' ? 'nothing' : `the ${this.#part}`;
    return new FormatError('The VHD is cut short', { offsetBytes: this.#position, expected, found: 'nothing more' });
  }
}
