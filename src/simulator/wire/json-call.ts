import { fromJson } from './json-text.js';
import { MalformedRequest } from './malformed-request.js';
import { type IncomingCall } from './xml-call.js';

/** A call over JSON-RPC, and what its answer must repeat. */
export interface JsonCall extends IncomingCall {
  readonly version: '1.0' | '2.0';
  readonly id: string | number;
}

/** Reads a JSON-RPC request. Throws MalformedRequest with XAPI's own words for what is wrong with it. */
export function parseJsonCall(text: string): JsonCall {
  if (text.trim() === '') throw new MalformedRequest('Yojson.Json_error("Blank input data")');
  let request: unknown;
  try {
    request = JSON.parse(text);
  } catch {
    const end = Buffer.byteLength(text);
    throw new MalformedRequest(`Yojson.Json_error("Line 1, bytes ${end - 1}-${end}:\\nUnexpected end of input")`);
  }
  if (typeof request !== 'object' || request === null || Array.isArray(request))
    throw malformed('Invalid request body');
  const { jsonrpc, id, method, params } = request as Readonly<Record<string, unknown>>;
  if (jsonrpc !== undefined && jsonrpc !== '2.0') throw malformed("Invalid field 'jsonrpc' in request body");
  if (typeof id !== 'string' && typeof id !== 'number') throw malformed("Invalid field 'id' in request body");
  if (typeof method !== 'string') throw malformed("Invalid field 'method' in request body");
  const version = jsonrpc === undefined ? '1.0' : '2.0';
  if (params === undefined && version === '1.0') throw malformed("Invalid field 'params' in request body");
  return { version, id, method, params: listOf(params) };
}

/** A struct in the place of the list is one positional parameter. */
function listOf(params: unknown): readonly ReturnType<typeof fromJson>[] {
  if (params === undefined) return [];
  return Array.isArray(params) ? params.map(fromJson) : [fromJson(params)];
}

function malformed(what: string): MalformedRequest {
  return new MalformedRequest(`Jsonrpc.Malformed_method_request("${what}")`);
}
