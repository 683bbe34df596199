import { createHash, type Hash } from 'node:crypto';
import { DiskCoverage, type DiskTotals } from './disk-coverage.js';
import { FormatError } from './format-error.js';
import { httpErrorInBody, isCompleteErrorPage, MAX_ERROR_TEXT_BYTES, startsAsHttpAnswer } from './http-error-text.js';
import { archiveDisks, parseOvaXml, type XvaArchive } from './ova-xml.js';
import { TailWindow } from './tail-window.js';
import { isZeroBlock, parseTarHeader, TAR_BLOCK_BYTES, tarPaddingBytes } from './tar-header.js';
import { Xxh64 } from './xxh64.js';

export interface XvaReaderOptions {
  /** A larger `ova.xml` is refused. Default 16 MiB. */
  readonly maxOvaXmlBytes?: number;
  /** False for an archive of metadata only: its disks then must have no blocks. Default true. */
  readonly hasDiskData?: boolean;
}

export type BlockChecksumKind = 'xxhash' | 'checksum';

export interface XvaSummary {
  readonly archive: XvaArchive;
  /** Length of the whole archive. */
  readonly bytes: number;
  /** Blocks with data; the empty ones that keep a connection alive are not counted. */
  readonly blocks: number;
  /** Bytes of the disks that were left out because they are zero. */
  readonly zeroBytesSkipped: number;
  /** XXH64 or SHA-1; undefined when there was no block. */
  readonly checksumKind: BlockChecksumKind | undefined;
  readonly disks: readonly DiskTotals[];
}

const OVA_XML = 'ova.xml';
const DEFAULT_MAX_OVA_XML_BYTES = 16 * 1024 * 1024;
/** Digits of a block's checksum, by the extension of its member (facts 5.4). */
const CHECKSUM_DIGITS: Readonly<Record<BlockChecksumKind, number>> = { xxhash: 16, checksum: 40 };
/** How XAPI's own error page begins; a disk may hold other HTTP answers. */
const POOL_ERROR = /HTTP\/1\.\d 500 Internal Error\r\n/;
const BLOCK_NAME = /^(.+)\/(\d{8,15})$/;

type Part = 'header' | 'ova-xml' | 'block' | 'checksum' | 'padding' | 'end' | 'http-answer';

/**
 * Checks an XVA archive while it flows: push what arrives, in pieces of any size, then call `end`. Nothing is kept but
 * copies of `ova.xml`, of one header and of the last few KiB: whoever pushed a piece may fill its memory again.
 *
 * Everything that an import would stumble over, and everything that it would not notice, is a `FormatError`: headers,
 * order, cover of every disk, each block's checksum, the end of the archive, and an error page of the pool's in place of
 * data. After an error the reader is of no more use.
 */
export class XvaReader {
  /** Called once `ova.xml` has been read, with the bytes of its header, body and padding. */
  onArchive: ((archive: XvaArchive, headAndBodyBytes: number) => void) | undefined;
  /** Called with each piece of a disk, part of what was pushed, which is checked only when its block is over. */
  onDiskData: ((diskId: string, offsetBytes: number, piece: Buffer) => void) | undefined;

  readonly #maxOvaXmlBytes: number;
  readonly #hasDiskData: boolean;
  readonly #header = Buffer.alloc(TAR_BLOCK_BYTES);
  readonly #tail = new TailWindow(MAX_ERROR_TEXT_BYTES);
  readonly #xxh64 = new Xxh64();
  #sha1: Hash = createHash('sha1');
  #archive: XvaArchive | undefined;
  #coverage = new DiskCoverage([]);
  #checksumKind: BlockChecksumKind | undefined;
  #part: Part = 'header';
  /** Bytes that the current part still lacks, and those that it already has. */
  #missing = TAR_BLOCK_BYTES;
  #gathered = 0;
  #pieces: Buffer[] = [];
  #memberBytes = 0;
  /** The disk of the current block, and where in it the block lies. */
  #blockDisk = '';
  #blockOffset = 0;
  /** The block whose checksum must come next. */
  #blockName: string | undefined;
  #position = 0;
  #blocks = 0;
  #zeroBlocks = 0;
  #isOver = false;

  constructor(options: XvaReaderOptions = {}) {
    this.#maxOvaXmlBytes = options.maxOvaXmlBytes ?? DEFAULT_MAX_OVA_XML_BYTES;
    this.#hasDiskData = options.hasDiskData ?? true;
  }

  /** What `ova.xml` says, once it has been read. */
  get archive(): XvaArchive | undefined {
    return this.#archive;
  }

  /** @throws {FormatError} as soon as something is wrong. */
  push(chunk: Buffer): void {
    if (this.#isOver) throw new FormatError('Data after the reader was ended');
    this.#tail.push(chunk);
    let at = 0;
    while (at < chunk.length) {
      const taken = Math.min(this.#missing, chunk.length - at);
      this.#take(taken === chunk.length ? chunk : chunk.subarray(at, at + taken));
      at += taken;
      this.#position += taken;
      if (this.#missing === 0) this.#completePart();
    }
  }

  /**
   * Says that nothing more comes.
   * @throws {FormatError} when the archive is not complete.
   */
  end(): XvaSummary {
    this.#isOver = true;
    if (this.#part === 'http-answer') throw this.#httpAnswer();
    if (this.#part !== 'end' || this.#archive === undefined) throw this.#truncation();
    const disks = this.#coverage.finish(this.#position);
    return {
      archive: this.#archive,
      bytes: this.#position,
      blocks: this.#blocks,
      zeroBytesSkipped: disks.reduce((sum, disk) => sum + disk.sizeBytes - disk.storedBytes, 0),
      checksumKind: this.#checksumKind,
      disks,
    };
  }

  /** Takes bytes of the current part, never more than it lacks. */
  #take(piece: Buffer): void {
    switch (this.#part) {
      case 'header':
      case 'checksum':
        piece.copy(this.#header, this.#gathered);
        break;
      case 'ova-xml':
        this.#pieces.push(Buffer.from(piece));
        break;
      case 'block':
        this.#hash(piece);
        this.onDiskData?.(this.#blockDisk, this.#blockOffset + this.#gathered, piece);
        break;
      case 'padding':
        this.#checkPadding(piece);
        break;
      case 'end':
        if (!startsAsHttpAnswer(piece))
          throw new FormatError('Data after the end of the archive', { offsetBytes: this.#position });
        this.#beginHttpAnswer(piece, 0);
        return;
      case 'http-answer':
        this.#takeHttpAnswer(piece);
        return;
    }
    this.#gathered += piece.length;
    this.#missing -= piece.length;
  }

  #begin(part: Part, bytes: number): void {
    this.#part = part;
    this.#missing = bytes;
    this.#gathered = 0;
    if (bytes === 0) this.#completePart();
  }

  /** Goes on to the next part when the current one is complete. */
  #completePart(): void {
    switch (this.#part) {
      case 'header':
        this.#readHeader();
        break;
      case 'ova-xml':
      case 'block':
        this.#begin('padding', tarPaddingBytes(this.#memberBytes));
        break;
      case 'checksum':
        this.#checkBlock();
        this.#begin('padding', tarPaddingBytes(this.#memberBytes));
        break;
      case 'padding':
        if (this.#archive === undefined) this.#readArchive();
        this.#begin('header', TAR_BLOCK_BYTES);
        break;
      case 'end':
      case 'http-answer':
        break;
    }
  }

  #readHeader(): void {
    const at = this.#position - TAR_BLOCK_BYTES;
    if (startsAsHttpAnswer(this.#header)) {
      this.#beginHttpAnswer(this.#header, TAR_BLOCK_BYTES);
    } else if (isZeroBlock(this.#header)) {
      this.#readZeroBlock(at);
    } else {
      if (this.#zeroBlocks > 0) throw new FormatError('A member after the first block of the end', { offsetBytes: at });
      this.#beginMember(at);
    }
  }

  #readZeroBlock(at: number): void {
    if (this.#archive === undefined) throw new FormatError('The archive has no ova.xml', { offsetBytes: at });
    this.#expectNoOpenBlock(at, 'the end of the archive');
    if (this.#zeroBlocks === 0) this.#coverage.finish(at);
    this.#zeroBlocks += 1;
    if (this.#zeroBlocks < 2) this.#begin('header', TAR_BLOCK_BYTES);
    else this.#begin('end', Infinity);
  }

  #beginMember(at: number): void {
    const { name, sizeBytes } = parseTarHeader(this.#header, at);
    this.#memberBytes = sizeBytes;
    if (this.#archive === undefined) this.#beginOvaXml(name, sizeBytes, at);
    else if (this.#blockName !== undefined) this.#beginChecksum(name, sizeBytes, at);
    else this.#beginBlock(name, sizeBytes, at);
  }

  #beginOvaXml(name: string, sizeBytes: number, offsetBytes: number): void {
    if (name !== OVA_XML)
      throw new FormatError('The first member is not the metadata', { offsetBytes, expected: OVA_XML, found: name });
    if (sizeBytes === 0 || sizeBytes > this.#maxOvaXmlBytes) {
      const details = { offsetBytes, expected: `1 to ${this.#maxOvaXmlBytes} bytes`, found: String(sizeBytes) };
      throw new FormatError('The metadata has an unusable size', details);
    }
    this.#begin('ova-xml', sizeBytes);
  }

  #beginBlock(name: string, sizeBytes: number, offsetBytes: number): void {
    const [, id, digits] = BLOCK_NAME.exec(name) ?? [];
    if (id === undefined || digits === undefined) {
      throw new FormatError('A member that the archive may not have', {
        offsetBytes,
        expected: 'a block',
        found: name,
      });
    }
    this.#blockOffset = this.#coverage.add(id, Number(digits), sizeBytes, offsetBytes);
    this.#blockDisk = id;
    if (sizeBytes > 0) this.#blocks += 1;
    this.#blockName = name;
    this.#begin('block', sizeBytes);
  }

  #beginChecksum(name: string, sizeBytes: number, offsetBytes: number): void {
    const kind = name === `${this.#blockName ?? ''}.xxhash` ? 'xxhash' : 'checksum';
    if (kind === 'checksum' && name !== `${this.#blockName ?? ''}.checksum`) this.#expectNoOpenBlock(offsetBytes, name);
    if (this.#checksumKind !== undefined && this.#checksumKind !== kind) {
      throw new FormatError('The kind of checksum changes', { offsetBytes, expected: this.#checksumKind, found: kind });
    }
    const digits = CHECKSUM_DIGITS[kind];
    if (sizeBytes !== digits) {
      const details = { offsetBytes, expected: `${digits} bytes`, found: `${sizeBytes} bytes` };
      throw new FormatError('A checksum of the wrong length', details);
    }
    this.#checksumKind = kind;
    this.#begin('checksum', sizeBytes);
  }

  #expectNoOpenBlock(offsetBytes: number, found: string): void {
    if (this.#blockName === undefined) return;
    throw new FormatError('A block without its checksum', {
      offsetBytes,
      expected: `the checksum of ${this.#blockName}`,
      found,
    });
  }

  /** Which checksum an archive has is known after its first block; until then both are computed. */
  #hash(piece: Buffer): void {
    if (this.#checksumKind !== 'checksum') this.#xxh64.update(piece);
    if (this.#checksumKind !== 'xxhash') this.#sha1.update(piece);
  }

  #checkBlock(): void {
    const expected = this.#header.toString('latin1', 0, this.#memberBytes);
    const found = this.#checksumKind === 'xxhash' ? this.#xxh64.digest() : this.#sha1.digest('hex');
    if (this.#checksumKind === 'checksum') this.#sha1 = createHash('sha1');
    if (found !== expected) {
      const details = { offsetBytes: this.#position - this.#memberBytes, expected: JSON.stringify(expected), found };
      throw new FormatError(`Block ${this.#blockName ?? ''} does not match its checksum`, details);
    }
    this.#blockName = undefined;
  }

  #checkPadding(piece: Buffer): void {
    if (piece.some((byte) => byte !== 0))
      throw new FormatError('Padding that is not zero', { offsetBytes: this.#position });
  }

  #readArchive(): void {
    const body = this.#pieces.length === 1 ? this.#pieces[0] : Buffer.concat(this.#pieces);
    this.#pieces = [];
    const archive = parseOvaXml(body ?? Buffer.alloc(0), this.#maxOvaXmlBytes);
    this.#coverage = new DiskCoverage(this.#hasDiskData ? archiveDisks(archive) : []);
    this.#archive = archive;
    this.onArchive?.(archive, this.#position);
  }

  #beginHttpAnswer(piece: Buffer, alreadyCounted: number): void {
    this.#begin('http-answer', Infinity);
    this.#memberBytes = this.#position - alreadyCounted;
    this.#pieces = [];
    this.#takeHttpAnswer(piece);
  }

  /** Gathers the page to its end, so that the error can say what the pool said. */
  #takeHttpAnswer(piece: Buffer): void {
    this.#pieces.push(Buffer.from(piece));
    this.#gathered += piece.length;
    const page = Buffer.concat(this.#pieces).toString('latin1');
    if (this.#gathered >= MAX_ERROR_TEXT_BYTES || isCompleteErrorPage(page)) throw this.#httpAnswer();
  }

  #httpAnswer(): FormatError {
    return httpErrorInBody(Buffer.concat(this.#pieces).toString('latin1'), this.#memberBytes);
  }

  /** Why the input ended too early: perhaps its last bytes are an error page that fell into a block. */
  #truncation(): FormatError {
    const tail = this.#tail.read().toString('latin1');
    const isAtHeader = this.#part === 'header' && startsAsHttpAnswer(this.#header.subarray(0, this.#gathered));
    const start = isAtHeader ? tail.length - this.#gathered : tail.search(POOL_ERROR);
    if (start >= 0) return httpErrorInBody(tail.slice(start), this.#position - tail.length + start);
    const expected = this.#archive === undefined ? 'ova.xml' : 'the end of the archive';
    return new FormatError('The archive is cut short', {
      offsetBytes: this.#position,
      expected,
      found: 'nothing more',
    });
  }
}
