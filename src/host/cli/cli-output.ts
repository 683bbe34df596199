import { type BackupError } from '../../contract/index.js';
import { type Redactor } from '../redaction.js';
import { type TableCell, tableLines } from './text-table.js';

export type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red';

const ANSI: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  green: [32, 39],
  yellow: [33, 39],
  red: [31, 39],
};

/** A stream to write text to, perhaps a terminal. */
export interface TextStream extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
  /** Width of the terminal in characters. */
  readonly columns?: number;
}

export interface CliOutputOptions {
  readonly out: TextStream;
  readonly err: TextStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly isJson: boolean;
  /** Stack traces of failures on standard error. */
  readonly isDebug: boolean;
  readonly redactor: Redactor;
}

/** A cell: text from anywhere, and how it is painted. */
export type Cell = string | { readonly text: string; readonly style: Style };

const SENTENCES: ReadonlySet<string> = new Set(['message', 'hint', 'why', 'description', 'reason']);

/** Everything that the command line says goes through here: text or JSON, painted or plain, secrets taken out. */
export class CliOutput {
  constructor(private readonly options: CliOutputOptions) {}

  get isJson(): boolean {
    return this.options.isJson;
  }

  /** True when progress may be drawn. */
  get isTerminal(): boolean {
    return this.options.out.isTTY === true && this.options.environment.TERM !== 'dumb';
  }

  get stream(): TextStream {
    return this.options.out;
  }

  /** Text for people; silent with --json. */
  readonly line = (text = ''): void => {
    if (!this.isJson) this.options.out.write(`${text}\n`);
  };

  /** One JSON value a line; only with --json. Sentences are redacted; data (names, digests) stays what it is. */
  readonly json = (value: unknown): void => {
    const { out, redactor } = this.options;
    const redact = (key: string, entry: unknown): unknown =>
      SENTENCES.has(key) && typeof entry === 'string' ? redactor.text(entry) : entry;
    if (this.isJson) out.write(`${JSON.stringify(value, redact)}\n`);
  };

  /** A line beside the result, on standard error. */
  readonly note = (text: string): void => {
    this.options.err.write(`${text}\n`);
  };

  readonly paint = (style: Style, text: string): string => {
    const { out, environment } = this.options;
    const isColoured = out.isTTY === true && (environment.NO_COLOR ?? '') === '' && environment.TERM !== 'dumb';
    const [on, off] = ANSI[style];
    return isColoured ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  };

  /**
   * Columns under their heads, without lines; `right` names the columns that hold numbers. With `cutsLast` the last column
   * ends where a terminal would break the line; in a pipe nothing is cut.
   */
  table(
    heads: readonly string[],
    wholeRows: readonly (readonly Cell[])[],
    { right = [], cutsLast = false }: { readonly right?: readonly number[]; readonly cutsLast?: boolean } = {},
  ): void {
    if (this.isJson) return;
    const rows = cutsLast && this.isTerminal ? cutToWidth(heads, wholeRows, this.options.out.columns) : wholeRows;
    const all = [heads.map((text) => ({ text, style: 'dim' as const })), ...rows];
    const cells = all.map((row) => row.map((cell) => this.#cell(cell)));
    for (const text of tableLines(cells, right)) this.line(text);
  }

  /**
   * `error CODE: sentence` and a hint on standard error; with --json also the last line on standard output. `whose` comes
   * before it where several go on beside each other.
   */
  failure(error: BackupError, labels: Readonly<Record<string, string>> = {}, whose?: string): void {
    const { redactor, err, isDebug } = this.options;
    const text = (value: string): string => withoutControls(redactor.text(value));
    const subject = whose === undefined ? '' : `${text(whose)}: `;
    err.write(`${subject}error ${error.code}: ${text(error.message)}\n`);
    if (error.hint !== undefined) err.write(`hint: ${text(error.hint)}\n`);
    for (const line of factsOf(error)) err.write(`  ${text(line)}\n`);
    if (isDebug) err.write(`${redactor.text(stackOf(error))}\n`);
    this.json({ type: 'failed', error: redactor.value(error.toJSON()), ...labels });
  }

  #cell(cell: Cell): TableCell {
    const text = withoutControls(textOf(cell));
    return typeof cell === 'string' ? { text } : { text, paint: (plain) => this.paint(cell.style, plain) };
  }
}

const LEAST_CUT_CELLS = 16;

const textOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.text);

/** Rows whose last cell ends with the terminal; as they are when the width is unknown or hopeless. */
function cutToWidth(
  heads: readonly string[],
  rows: readonly (readonly Cell[])[],
  columns: number | undefined,
): readonly (readonly Cell[])[] {
  const before = heads.slice(0, -1).map((head, index) => {
    return rows.reduce((widest, row) => Math.max(widest, textOf(row[index] ?? '').length), head.length) + 2;
  });
  const left = (columns ?? 0) - before.reduce((sum, width) => sum + width, 0);
  if (left < LEAST_CUT_CELLS) return rows;
  return rows.map((row) => {
    const last = row.at(-1) ?? '';
    const text = textOf(last);
    if (text.length <= left) return row;
    const cut = `${text.slice(0, left - 1)}…`;
    return [...row.slice(0, -1), typeof last === 'string' ? cut : { ...last, text: cut }];
  });
}

/** Names come from elsewhere: one with escape sequences must not steer the terminal. */
export function withoutControls(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => (character === '\n' || character === '\t' ? ' ' : '\ufffd'));
}

/** What a person needs to act on the hint: what a name could have meant, or the certificate that was shown. */
function factsOf({ context: { candidates, fingerprint } }: BackupError): readonly string[] {
  const listed = Array.isArray(candidates) ? (candidates as readonly string[]) : [];
  return typeof fingerprint === 'string' ? [...listed, `The server showed SHA-256 ${fingerprint}`] : listed;
}

function stackOf(error: unknown, depth = 0): string {
  if (!(error instanceof Error) || depth > 5) return String(error);
  const own = error.stack ?? error.message;
  return error.cause === undefined ? own : `${own}\ncaused by: ${stackOf(error.cause, depth + 1)}`;
}
