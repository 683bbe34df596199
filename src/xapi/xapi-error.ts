const HIDDEN = '<session>';

/** Parameters without session references: SESSION_INVALID and HANDLE_INVALID name the session they mean. */
function withoutSession(code: string, params: readonly string[]): readonly string[] {
  if (code === 'SESSION_INVALID') return params.map(() => HIDDEN);
  if (code === 'HANDLE_INVALID' && params[0] === 'session') return ['session', HIDDEN];
  return params;
}

/** When the pool worked on something, in milliseconds since the epoch: by the pool's clock, or by ours. */
export interface TimeWindow {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface XapiErrorOptions {
  /** The method that was called. Never its arguments. */
  readonly call?: string;
  readonly taskUuid?: string;
  /** Where in the pool's logs to look. */
  readonly window?: TimeWindow;
  readonly cause?: unknown;
}

/** What the pool answered instead of a result: XAPI's code and parameters, as a call, a task or a handler page gave them. */
export class XapiError extends Error {
  override readonly name = 'XapiError';
  readonly code: string;
  readonly params: readonly string[];
  readonly call: string | undefined;
  readonly taskUuid: string | undefined;
  readonly window: TimeWindow | undefined;

  constructor(code: string, params: readonly string[] = [], options: XapiErrorOptions = {}) {
    const safe = withoutSession(code, params);
    super(
      `${options.call === undefined ? '' : `${options.call}: `}${code}${safe.length > 0 ? ` (${safe.join(', ')})` : ''}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.params = safe;
    this.call = options.call;
    this.taskUuid = options.taskUuid;
    this.window = options.window;
  }

  /** The same error with the method whose task it ended. */
  duringCall(call: string): XapiError {
    return this.#with({ call });
  }

  /** The same error with the time at which it came about; a window that is known already is better. */
  within(window: TimeWindow): XapiError {
    return this.window === undefined ? this.#with({ window }) : this;
  }

  #with(more: XapiErrorOptions): XapiError {
    const { call, taskUuid, window } = this;
    return new XapiError(this.code, this.params, {
      ...(call === undefined ? {} : { call }),
      ...(taskUuid === undefined ? {} : { taskUuid }),
      ...(window === undefined ? {} : { window }),
      cause: this,
      ...more,
    });
  }
}

/** True for a `XapiError`, of one of the given codes when any are given. */
export function isXapiError(value: unknown, ...codes: readonly string[]): value is XapiError {
  return value instanceof XapiError && (codes.length === 0 || codes.includes(value.code));
}

/** The error of an ended task: `error_info` is the code and its parameters, and may be empty after a cancel. */
export function taskError(
  status: 'failure' | 'cancelled',
  errorInfo: readonly string[],
  options: XapiErrorOptions = {},
): XapiError {
  const [code, ...params] = errorInfo;
  if (code !== undefined && code !== '') return new XapiError(code, params, options);
  return status === 'cancelled'
    ? new XapiError('TASK_CANCELLED', [], options)
    : new XapiError('INTERNAL_ERROR', ['The task failed without saying why.'], options);
}

const ENTITIES: Readonly<Record<string, string>> = { quot: '"', apos: "'", lt: '<', gt: '>', amp: '&', '#39': "'" };

/**
 * The error inside the HTML page of a handler: "Additional information" is `CODE: [ p1; p2 ]`. Undefined when the
 * page holds no XAPI code. Source: `ocaml/libs/http-lib/http_svr.ml`, and captured answers of a real XAPI.
 */
export function errorFromPage(page: string, options: XapiErrorOptions = {}): XapiError | undefined {
  const details = pageDetails(page);
  const match = /^([A-Z][A-Z0-9_]*): \[ ?([\s\S]*?) ?\]$/.exec(details);
  if (match === null) return undefined;
  const [, code = '', list = ''] = match;
  const params = list.trim() === '' ? [] : list.split('; ').map((param) => param.trim());
  return new XapiError(code, params, options);
}

/** The "Additional information" of a handler's HTML page, as plain text; empty when there is none. */
export function pageDetails(page: string): string {
  const match = /Additional information\s*<\/h1>([\s\S]*?)(?:<\/body>|<\/html>|$)/i.exec(page);
  return (match?.[1] ?? '').replace(/&(#39|[a-z]+);/g, (all, name: string) => ENTITIES[name] ?? all).trim();
}
