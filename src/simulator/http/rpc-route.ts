import { compareLifecycles } from '../datamodel/release.js';
import { type FaultAction } from '../faults.js';
import { type Dispatcher, type Origin } from '../rpc/dispatcher.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { jsonAnswer, xmlAnswer, type Outcome } from '../wire/answers.js';
import { parseJsonCall } from '../wire/json-call.js';
import { MalformedRequest } from '../wire/malformed-request.js';
import { parseXmlCall, type IncomingCall } from '../wire/xml-call.js';
import { rpcPage, statusPage } from './pages.js';
import { type RequestHead } from './request-head.js';

/** The bytes of an answer to a call, and how much of it goes out before the connection is cut (undefined: all). */
export interface RpcReply {
  readonly bytes: Buffer;
  readonly cutAtByte?: number;
}

const THUMBPRINT_ASKED = 'x-xenapi-request-host-certificate-thumbprint';

/** Before XAPI 1.47 every JSON answer had the form of 1.0 and the number 0, whatever was asked. */
const OLD_JSON = { version: '1.0', id: 0 } as const;

/** Answers POST requests: JSON-RPC under `/jsonrpc`, XML-RPC everywhere else. Throws MalformedRequest. */
export async function answerCall(
  pool: SimulatedPool,
  dispatcher: Dispatcher,
  head: RequestHead,
  body: string,
  origin: Origin,
  isKeptAlive: boolean,
): Promise<RpcReply> {
  const isJson = head.path.startsWith('/jsonrpc');
  const isOld = compareLifecycles([], pool.datamodel.release.xapiVersion, '1.47.0') < 0;
  const json = isJson ? parseJsonCall(body) : undefined;
  if (isOld && typeof json?.id === 'string') throw new MalformedRequest(`Jsonrpc.Malformed_method_request("${body}")`);
  const call: IncomingCall = json ?? parseXmlCall(body);
  const faults = pool.faults.forCall(call.method);
  const status = faults.find((fault) => 'httpStatus' in fault);
  if (status !== undefined) return { bytes: statusPage(status.httpStatus, head.httpVersion) };
  const outcome = await dispatcher.dispatch(call, origin, faults);
  const text =
    json === undefined
      ? xmlAnswer(outcome, call.method === 'system.listMethods')
      : isOld
        ? jsonAnswer(OLD_JSON, asDispatched(outcome))
        : jsonAnswer(json, outcome);
  const bytes = rpcPage(
    isJson ? 'application/json' : 'text/xml',
    text,
    head.httpVersion,
    isKeptAlive,
    thumbprintHeaders(pool, head, outcome),
  );
  const cutAtByte = cutOf(faults);
  return cutAtByte === undefined ? { bytes } : { bytes, cutAtByte };
}

function asDispatched(outcome: Outcome): Outcome {
  return outcome.isSuccess ? outcome : { isSuccess: false, description: outcome.description };
}

/** A client that asks for it learns the coordinator's certificate together with its address. */
function thumbprintHeaders(pool: SimulatedPool, head: RequestHead, outcome: Outcome): readonly string[] {
  const asked = head.headers.get(THUMBPRINT_ASKED);
  if (outcome.isSuccess || outcome.description[0] !== 'HOST_IS_SLAVE' || asked === undefined) return [];
  const field = { 'sha-256:master': 'fingerprint_sha256', 'sha-1:master': 'fingerprint_sha1' }[asked];
  if (field === undefined) return [];
  const certificate = pool.store
    .all('Certificate')
    .find(([, record]) => record.host === pool.coordinator && record.type === 'host');
  const value = certificate?.[1][field];
  return typeof value === 'string' ? [`x-xenapi-response-host-certificate-thumbprint: ${value}`] : [];
}

function cutOf(faults: readonly FaultAction[]): number | undefined {
  return faults.find((fault) => 'cutAtByte' in fault)?.cutAtByte;
}
