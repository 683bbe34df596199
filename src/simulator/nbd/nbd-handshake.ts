import {
  greeting,
  isFixedNewstyle,
  Option,
  OptionReply,
  optionReply,
  OPTION_REQUEST_BYTES,
  parseOptionRequest,
} from './nbd-protocol.js';
import { type NbdStream, type ServerIdentity } from './nbd-stream.js';

/** The protocol's own limit on names. */
const MAX_NAME_BYTES = 4096;
const CLIENT_FLAGS_BYTES = 4;

/** How the greeting of a connection ended: with a name to serve over a stream that is secured if it had to be. */
export interface Negotiated {
  readonly stream: NbdStream;
  readonly exportName: string;
}

/**
 * Greets a client and answers its options until it names an export. With an `identity` nothing but STARTTLS is taken in
 * clear. Undefined when the client gave up or asked for what ends a connection; what had to be said is said by then.
 */
export async function negotiate(
  stream: NbdStream,
  identity: ServerIdentity | undefined,
): Promise<Negotiated | undefined> {
  await stream.write(greeting());
  const flags = await stream.take(CLIENT_FLAGS_BYTES);
  if (flags === undefined || (identity !== undefined && !isFixedNewstyle(flags))) return undefined;
  let current = stream;
  for (;;) {
    const head = await current.take(OPTION_REQUEST_BYTES);
    const request = head && parseOptionRequest(head);
    if (request === undefined) return undefined;
    const { option, lengthBytes } = request;
    const mustSecure = identity !== undefined && !current.isSecure;
    if (option === Option.ExportName) {
      if (mustSecure || lengthBytes > MAX_NAME_BYTES) return undefined;
      const name = await current.take(lengthBytes);
      return name && { stream: current, exportName: name.toString() };
    }
    if (!(await current.skip(lengthBytes))) return undefined;
    const reply = replyTo(option, mustSecure, current.isSecure);
    await current.write(optionReply(option, reply));
    if (option === Option.Abort) return undefined;
    if (option === Option.StartTls && reply === OptionReply.Ack && identity !== undefined) {
      current = current.secure(identity);
    }
  }
}

function replyTo(option: number, mustSecure: boolean, isSecure: boolean): OptionReply {
  switch (option) {
    case Option.Abort:
      return OptionReply.Ack;
    case Option.StartTls:
      if (mustSecure) return OptionReply.Ack;
      return isSecure ? OptionReply.Invalid : OptionReply.Policy;
    default:
      if (mustSecure) return OptionReply.TlsRequired;
      return option === Option.List ? OptionReply.Policy : OptionReply.Unsupported;
  }
}
