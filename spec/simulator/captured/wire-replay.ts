import { connect, type Socket } from 'node:net';
import { type CapturedWorld } from './captured-world.js';
import { type Comparison } from './comparison.js';

/** Requests and answers over one connection, as latin-1 text with long bodies cut. */
export interface CapturedConnection {
  readonly name: string;
  readonly exchanges?: readonly CapturedExchange[];
  /** A limit, instead of exchanges. */
  readonly note?: string;
}

interface CapturedExchange {
  readonly request: string;
  readonly answer: string;
  /** How long the answer was before it was cut. */
  readonly answer_bytes: number;
  readonly closed_by_server: boolean;
}

/** How long an answer that has all the bytes of the captured one, or should have none, is watched for more. */
const SILENCE_MS = 50;
/** An answer that falls short of the captured one is waited for so long. */
const ANSWER_MS = 3000;
/** A server that has to close does so within this. */
const CLOSE_MS = 3000;

/** Sends the bytes of captured requests to a simulated pool, and compares the answers line by line. */
export class WireReplay {
  readonly #world: CapturedWorld;
  readonly #comparison: Comparison;

  constructor(world: CapturedWorld, comparison: Comparison) {
    this.#world = world;
    this.#comparison = comparison;
  }

  async run(connections: readonly CapturedConnection[]): Promise<void> {
    for (const { name, exchanges = [] } of connections) {
      if (exchanges.length === 0) continue;
      this.#comparison.steps += 1;
      const { port, hostname } = new URL(this.#world.pool.httpUrl);
      const socket = connect(Number(port), hostname);
      socket.on('error', () => undefined);
      try {
        for (const [index, exchange] of exchanges.entries()) {
          await this.#exchange(exchanges.length > 1 ? `wire: ${name} ${index + 1}` : `wire: ${name}`, socket, exchange);
        }
      } finally {
        socket.destroy();
      }
    }
  }

  async #exchange(place: string, socket: Socket, captured: CapturedExchange): Promise<void> {
    const comparison = this.#comparison;
    comparison.answers += 1;
    const { client } = this.#world;
    const request = comparison.binding
      .translate(captured.request)
      .replace(/[0-9a-f]{8}(?:%2d[0-9a-f]{4}){3}%2d[0-9a-f]{12}/g, (uuid) =>
        comparison.binding.translate(decodeURIComponent(uuid)).replaceAll('-', '%2d'),
      )
      .replaceAll('<session, : as %3A>', client.session.replace(':', '%3A'))
      .replaceAll('<session>', client.session);
    const reply = await answerTo(socket, completed(request), captured);
    if (/session.login/.test(request) && reply.text.includes('Success')) {
      client.session = /OpaqueRef:[0-9a-f-]{36}/.exec(reply.text)?.[0] ?? client.session;
    }
    const own = partsOf(reply.text.replaceAll(client.session, '<session>'));
    const theirs = partsOf(captured.answer);
    comparison.compare(`${place}: closed`, captured.closed_by_server, reply.isClosed);
    comparison.compare(`${place}: status`, theirs.status, own.status);
    for (const header of theirs.headers) {
      const name = header.replace(/:.*$/, '');
      const found = own.headers.find((line) => line.replace(/:.*$/, '') === name);
      comparison.compare(`${place}: header ${name}`, lengthless(header), lengthless(found ?? '(absent)'));
    }
    for (const header of own.headers) {
      const name = header.replace(/:.*$/, '');
      if (!theirs.headers.some((line) => line.startsWith(`${name}:`))) {
        comparison.differ(`${place}: header ${name}`, undefined, header);
      }
    }
    if (isText(theirs)) {
      const shown = theirs.body.replace(/\.\.\.\(.*\)$/s, '');
      const isCut = captured.answer_bytes > captured.answer.length;
      comparison.compare(`${place}: body`, shown, isCut ? own.body.slice(0, shown.length) : own.body);
    }
  }
}

/** A body that was cut in the capture gets its length back. */
function completed(request: string): Buffer {
  const bytes = Buffer.from(request, 'latin1');
  const end = bytes.indexOf('\r\n\r\n') + 4;
  const length = Number(/content-length: *(\d+)/i.exec(request)?.[1] ?? 0);
  const bodyBytes = bytes.length - end;
  if (bodyBytes === 0 || bodyBytes >= length) return bytes;
  return Buffer.concat([bytes, Buffer.alloc(length - bodyBytes, bytes.at(-1))]);
}

interface Parts {
  readonly status: string;
  readonly headers: readonly string[];
  readonly body: string;
}

function partsOf(text: string): Parts {
  const end = text.indexOf('\r\n\r\n');
  const [status = '', ...headers] = text.slice(0, Math.max(0, end)).split('\r\n');
  return { status, headers, body: end < 0 ? text : text.slice(end + 4) };
}

/** The length follows the body, which is compared by itself. */
function lengthless(header: string): string {
  return header.replace(/^(content-length: *)\d+$/i, '$1n');
}

function isText({ headers }: Parts): boolean {
  return !headers.some((line) => /^content-(type: *application\/(octet|vhd|x-tar)|disposition)/i.test(line));
}

interface Reply {
  readonly text: string;
  readonly isClosed: boolean;
}

/**
 * What comes, until the server closes or has said as much as the real one did: a slow machine gets its time, and only
 * the silence after that, which is all there is to an endless answer, is timed.
 */
function answerTo(socket: Socket, request: Buffer, captured: CapturedExchange): Promise<Reply> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let timer: NodeJS.Timeout | undefined;
    const finish = (isClosed: boolean): void => {
      clearTimeout(timer);
      socket.off('data', take).off('close', onClose).off('end', onClose);
      resolve({ text: Buffer.concat(pieces).toString('latin1'), isClosed });
    };
    const onClose = (): void => {
      finish(true);
    };
    const watch = (): void => {
      clearTimeout(timer);
      const bytes = Buffer.concat(pieces);
      if (!captured.closed_by_server && isComplete(bytes)) {
        setImmediate(finish, socket.destroyed);
        return;
      }
      timer = setTimeout(finish, waitMs(bytes, captured), false);
    };
    const take = (chunk: Buffer): void => {
      pieces.push(chunk);
      watch();
    };
    socket.on('data', take).on('close', onClose).on('end', onClose);
    socket.write(request);
    watch();
  });
}

function waitMs(bytes: Buffer, captured: CapturedExchange): number {
  if (captured.closed_by_server) return CLOSE_MS;
  const isHeadMissing = captured.answer !== '' && !bytes.includes('\r\n\r\n');
  return isHeadMissing ? ANSWER_MS : SILENCE_MS;
}

function isComplete(bytes: Buffer): boolean {
  const end = bytes.indexOf('\r\n\r\n');
  const length = /content-length: *(\d+)/i.exec(bytes.toString('latin1', 0, Math.max(0, end)))?.[1];
  return length !== undefined && bytes.length >= end + 4 + Number(length);
}
