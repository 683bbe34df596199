import { FormatError } from './format-error.js';
import { httpErrorInBody, MAX_ERROR_TEXT_BYTES, startsAsHttpAnswer } from './http-error-text.js';
import { TailWindow } from './tail-window.js';

/** What a pool's database dump holds, as far as its backup and restore must know. */
export interface DatabaseDumpSummary {
  readonly bytes: number;
  /** Version of the schema: a pool takes a database back only when its own is the same. */
  readonly schemaMajor: number;
  readonly schemaMinor: number;
  readonly generation: number;
  /** Rows by table; tables without rows are left out. */
  readonly rowCounts: ReadonlyMap<string, number>;
  readonly poolIds: readonly string[];
  readonly hostIds: readonly string[];
}

/** One row is one tag; the largest hold the metadata of a snapshot. */
const DEFAULT_MAX_TAG_BYTES = 16 * 1024 * 1024;
const LESS = 0x3c;
const GREATER = 0x3e;
const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;
const POOL_ERROR = /HTTP\/1\.\d 500 Internal Error\r\n/;
const WHITE_SPACE = /^[ \t\r\n]*$/;
const TAG = /^<(\/?)([A-Za-z_][\w.-]*)((?:\s[^]*?)?)(\/?)>$/;
const ATTRIBUTE = /\s+([A-Za-z_][\w.:-]*)\s*=\s*(?:"([^"<]*)"|'([^'<]*)')/y;
/** Which element may stand in which (facts 6.1); the root stands in ''. */
const PARENTS: Readonly<Record<string, string>> = {
  database: '',
  manifest: 'database',
  pair: 'manifest',
  table: 'database',
  row: 'table',
};

/**
 * Checks a dump of XAPI's database while it flows: push what arrives, in pieces of any size, then call `end`. A dump has no
 * length and no digest of its own, so nothing but the document itself says whether it is whole. Keeps one tag at a time.
 */
export class DatabaseDumpReader {
  readonly #maxTagBytes: number;
  readonly #tail = new TailWindow(MAX_ERROR_TEXT_BYTES);
  readonly #open: string[] = [];
  readonly #rowCounts = new Map<string, number>();
  readonly #manifest = new Map<string, string>();
  readonly #ids: Readonly<Record<'pool' | 'host', string[]>> = { pool: [], host: [] };
  #state: 'text' | 'tag' | 'http-answer' = 'text';
  /** The quote that an attribute's value is in. */
  #quote = 0;
  #tag: Buffer[] = [];
  #tagBytes = 0;
  #table = '';
  #position = 0;
  #isComplete = false;

  constructor({ maxTagBytes = DEFAULT_MAX_TAG_BYTES }: { readonly maxTagBytes?: number } = {}) {
    this.#maxTagBytes = maxTagBytes;
  }

  /** @throws {FormatError} as soon as something is wrong. */
  push(chunk: Buffer): void {
    this.#tail.push(chunk);
    let at = 0;
    while (at < chunk.length && this.#state !== 'http-answer') {
      const end = this.#state === 'text' ? this.#passText(chunk, at) : this.#passTag(chunk, at);
      this.#position += end - at;
      at = end;
    }
    this.#position += chunk.length - at;
  }

  /**
   * Says that nothing more comes.
   * @throws {FormatError} when the document is not complete, or an error page of the pool's stands in it.
   */
  end(): DatabaseDumpSummary {
    const page = this.#errorPage();
    if (page !== undefined) throw page;
    if (!this.#isComplete) {
      throw new FormatError('The database dump breaks off', { offsetBytes: this.#position, expected: '</database>' });
    }
    return {
      bytes: this.#position,
      schemaMajor: this.#number('schema_major_vsn'),
      schemaMinor: this.#number('schema_minor_vsn'),
      generation: this.#number('generation_count'),
      rowCounts: this.#rowCounts,
      poolIds: this.#ids.pool,
      hostIds: this.#ids.host,
    };
  }

  /** White space up to the next tag. Returns where it ends. */
  #passText(chunk: Buffer, at: number): number {
    const tag = chunk.indexOf(LESS, at);
    const end = tag < 0 ? chunk.length : tag;
    const text = chunk.toString('latin1', at, end);
    if (!WHITE_SPACE.test(text)) {
      if (startsAsHttpAnswer(Buffer.from(text.trimStart(), 'latin1'))) {
        this.#state = 'http-answer';
        return end;
      }
      throw new FormatError('The database dump has text outside of its elements', { offsetBytes: this.#position });
    }
    if (tag >= 0) {
      this.#state = 'tag';
      this.#quote = 0;
    }
    return end;
  }

  /** A tag, or what of it is here. Returns where it ends. */
  #passTag(chunk: Buffer, from: number): number {
    for (let at = from; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (byte === LESS && this.#tagBytes + at > from) return this.#interrupted(chunk.length);
      if (this.#quote !== 0) {
        if (byte === this.#quote) this.#quote = 0;
      } else if (byte === DOUBLE_QUOTE || byte === SINGLE_QUOTE) {
        this.#quote = byte;
      } else if (byte === GREATER) {
        this.#gather(chunk.subarray(from, at + 1));
        this.#completeTag();
        return at + 1;
      }
    }
    this.#gather(chunk.subarray(from));
    return chunk.length;
  }

  /** A tag within a tag: the pool's error page, or damage. */
  #interrupted(end: number): number {
    if (POOL_ERROR.test(this.#tail.read().toString('latin1'))) {
      this.#state = 'http-answer';
      return end;
    }
    throw new FormatError('The database dump has a tag within a tag', { offsetBytes: this.#position });
  }

  #gather(piece: Buffer): void {
    this.#tagBytes += piece.length;
    if (this.#tagBytes > this.#maxTagBytes) {
      const limit = `at most ${this.#maxTagBytes} bytes`;
      throw new FormatError('The database dump has a tag that does not end', {
        offsetBytes: this.#position,
        expected: limit,
      });
    }
    this.#tag.push(piece);
  }

  #completeTag(): void {
    const text = Buffer.concat(this.#tag, this.#tagBytes).toString('utf8');
    this.#tag = [];
    this.#tagBytes = 0;
    this.#state = 'text';
    if (text.startsWith('<?xml')) {
      if (this.#open.length > 0 || this.#isComplete || !text.endsWith('?>')) throw this.#unexpected(text);
      return;
    }
    const [, closing, name = '', attributes = '', empty] = TAG.exec(text) ?? [];
    const parent = PARENTS[name];
    if (parent === undefined) throw this.#unexpected(text);
    if (closing === '/') this.#close(name, text);
    else this.#begin(name, parent, attributes, text);
    if (closing !== '/' && empty === '/') this.#close(name, text);
  }

  #begin(name: string, parent: string, attributes: string, text: string): void {
    if (this.#isComplete || (this.#open.at(-1) ?? '') !== parent) throw this.#unexpected(text);
    this.#open.push(name);
    const values = this.#attributes(attributes, text);
    if (name === 'pair') this.#manifest.set(values.get('key') ?? '', values.get('value') ?? '');
    if (name === 'table') this.#table = values.get('name') ?? '';
    if (name === 'row') this.#row(values, text);
  }

  #close(name: string, text: string): void {
    if (this.#open.pop() !== name) throw this.#unexpected(text);
    if (name === 'database') this.#isComplete = true;
  }

  #row(values: ReadonlyMap<string, string>, text: string): void {
    if (!values.has('ref')) throw this.#unexpected(text);
    this.#rowCounts.set(this.#table, (this.#rowCounts.get(this.#table) ?? 0) + 1);
    if (this.#table === 'pool' || this.#table === 'host') this.#ids[this.#table].push(values.get('uuid') ?? '');
  }

  #attributes(attributes: string, text: string): ReadonlyMap<string, string> {
    const values = new Map<string, string>();
    ATTRIBUTE.lastIndex = 0;
    for (let at = 0; ; at = ATTRIBUTE.lastIndex) {
      const match = ATTRIBUTE.exec(attributes);
      if (match === null) {
        if (attributes.slice(at).trim() !== '') throw this.#unexpected(text);
        return values;
      }
      values.set(match[1] ?? '', match[2] ?? match[3] ?? '');
    }
  }

  #number(key: string): number {
    const text = this.#manifest.get(key) ?? '';
    if (/^\d{1,15}$/.test(text)) return Number(text);
    throw new FormatError(`The database dump does not say its ${key}`, { expected: 'a number' });
  }

  #errorPage(): FormatError | undefined {
    const tail = this.#tail.read().toString('latin1');
    const at = tail.search(POOL_ERROR);
    const start = at < 0 && this.#state === 'http-answer' ? 0 : at;
    return start < 0 ? undefined : httpErrorInBody(tail.slice(start), this.#position - tail.length + start);
  }

  /** A row may hold secrets: only the beginning of what was found is told. */
  #unexpected(text: string): FormatError {
    const found = /^<[\w/?!.-]{0,40}/.exec(text)?.[0] ?? '';
    return new FormatError('The database dump has something where it can not stand', {
      offsetBytes: this.#position,
      found,
    });
  }
}
