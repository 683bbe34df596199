/** An error of XAPI as it travels in text: a stable code and its parameters. */
export interface XapiErrorText {
  readonly code: string;
  readonly params: readonly string[];
}

export interface FormatErrorDetails {
  /** Where in the input, counted from its first byte. */
  readonly offsetBytes?: number;
  readonly expected?: string;
  readonly found?: string;
  /** What XAPI said, when the input turned out to be its error message in place of data. */
  readonly xapiError?: XapiErrorText;
  readonly cause?: unknown;
}

/** Input that is not what its format says. `what` is one sentence; the details are for support. */
export class FormatError extends Error {
  override readonly name = 'FormatError';
  readonly what: string;
  readonly offsetBytes: number | undefined;
  readonly expected: string | undefined;
  readonly found: string | undefined;
  readonly xapiError: XapiErrorText | undefined;

  constructor(what: string, details: FormatErrorDetails = {}) {
    const { offsetBytes, expected, found, xapiError, cause } = details;
    const where = offsetBytes === undefined ? '' : ` at byte ${offsetBytes}`;
    const comparison = expected === undefined && found === undefined ? '' : ` (${compare(expected, found)})`;
    super(`${what}${where}${comparison}`, cause === undefined ? undefined : { cause });
    this.what = what;
    this.offsetBytes = offsetBytes;
    this.expected = expected;
    this.found = found;
    this.xapiError = xapiError;
  }
}

function compare(expected: string | undefined, found: string | undefined): string {
  const parts = [
    expected === undefined ? undefined : `expected ${expected}`,
    found === undefined ? undefined : `found ${found}`,
  ];
  return parts.filter((part) => part !== undefined).join(', ');
}
