import { FormatError, type XapiErrorText } from './format-error.js';

/** What an answer that XAPI writes into a body begins with; one digit of the version follows. */
const HTTP_ERROR_START = Buffer.from('HTTP/1.', 'latin1');
/** An error page of XAPI's has a few hundred bytes; nothing beyond this is looked at. */
export const MAX_ERROR_TEXT_BYTES = 16 * 1024;

const ERROR_STATUS = /HTTP\/1\.\d (\d{3}) ?([^\r\n]*)/;
const ADDITIONAL = /Additional information\s*<\/h1>([\s\S]*?)(?:<\/body>|$)/i;
const CODE_AND_PARAMS = /^([A-Z][A-Z0-9_]*): \[ ?([\s\S]*?) ?\]$/;
const HTML_ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/** True when `bytes` begins with an HTTP status line, as far as it goes. */
export function startsAsHttpAnswer(bytes: Buffer): boolean {
  const length = Math.min(bytes.length, HTTP_ERROR_START.length);
  return length > 0 && bytes.compare(HTTP_ERROR_START, 0, length, 0, length) === 0;
}

/** True once the page is complete, so that nothing more need be waited for. */
export function isCompleteErrorPage(text: string): boolean {
  return /<\/html>/i.test(text);
}

/**
 * The error behind an HTTP answer that XAPI wrote into a body whose 200 was already out (facts 4.1).
 * @param offsetBytes where in the input the answer begins.
 */
export function httpErrorInBody(text: string, offsetBytes: number): FormatError {
  const [, status = 'an error', reason = ''] = ERROR_STATUS.exec(text) ?? [];
  const xapiError = parseXapiErrorPage(text);
  const said = xapiError === undefined ? '' : `: ${[xapiError.code, ...xapiError.params].join(', ').slice(0, 300)}`;
  const details = { offsetBytes, ...(xapiError === undefined ? {} : { xapiError }) };
  return new FormatError(
    `The pool answered HTTP ${status} ${reason}`.trimEnd() + ` in the middle of the data${said}`,
    details,
  );
}

/** Code and parameters from an error page: `CODE: [ p1; p2 ]`; a text without code becomes INTERNAL_ERROR. */
export function parseXapiErrorPage(text: string): XapiErrorText | undefined {
  const information = decodeHtml((ADDITIONAL.exec(text)?.[1] ?? '').trim());
  if (information === '') return undefined;
  const [, code, params] = CODE_AND_PARAMS.exec(information) ?? [];
  if (code === undefined || params === undefined) return { code: 'INTERNAL_ERROR', params: [information] };
  return { code, params: params === '' ? [] : params.split('; ') };
}

function decodeHtml(text: string): string {
  return text.replace(/&(lt|gt|amp|quot|apos);/g, (whole, name: string) => HTML_ENTITIES[name] ?? whole);
}
