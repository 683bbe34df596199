import { toJsonText } from './json-text.js';
import { type JsonCall } from './json-call.js';
import { rpcString, rpcStrings, rpcStruct, type RpcValue } from './rpc-value.js';
import { toXmlText } from './xml-text.js';

/** What became of a call: a value, or a code with parameters. */
export type Outcome =
  | { readonly isSuccess: true; readonly value: RpcValue }
  | {
      readonly isSuccess: false;
      readonly description: readonly string[];
      /** The call was refused before anybody looked at it, as a member in emergency mode does. */
      readonly isUndispatched?: true;
    };

/** The JSON-RPC answer, in the version of the request: errors are a list in 1.0, an object in 2.0. */
export function jsonAnswer(call: Pick<JsonCall, 'version' | 'id'>, outcome: Outcome): string {
  if (!outcome.isSuccess && outcome.isUndispatched === true) {
    return `{"jsonrpc":"2.0","error":${JSON.stringify(outcome.description)},"id":0}`;
  }
  const id = JSON.stringify(call.id);
  if (call.version === '1.0') {
    return outcome.isSuccess
      ? `{"result":${toJsonText(outcome.value)},"error":null,"id":${id}}`
      : `{"result":null,"error":${JSON.stringify(outcome.description)},"id":${id}}`;
  }
  if (outcome.isSuccess) return `{"jsonrpc":"2.0","result":${toJsonText(outcome.value)},"id":${id}}`;
  const [message, ...data] = outcome.description;
  return `{"jsonrpc":"2.0","error":${JSON.stringify({ code: 1, message, data })},"id":${id}}`;
}

/** The XML-RPC answer. Errors of the API are a struct too, never a `<fault>`. `isBare`: without the Status struct. */
export function xmlAnswer(outcome: Outcome, isBare = false): string {
  const value = outcome.isSuccess
    ? isBare
      ? outcome.value
      : rpcStruct({ Status: rpcString('Success'), Value: outcome.value })
    : rpcStruct({ Status: rpcString('Failure'), ErrorDescription: rpcStrings(outcome.description) });
  return `<?xml version="1.0"?><methodResponse><params><param>${toXmlText(value)}</param></params></methodResponse>`;
}
