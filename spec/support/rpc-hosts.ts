import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';

/** What a host says to a call: a result, an error, or whatever it writes by hand. */
export type RpcAnswer =
  | { readonly result: unknown }
  | { readonly error: readonly [code: string, ...params: string[]] }
  | { readonly byHand: (request: IncomingMessage, response: ServerResponse) => void };

export interface RpcCall {
  readonly method: string;
  readonly params: readonly unknown[];
}

/** One host of a pool that only answers calls, over plain http, as the spec says. */
export interface RpcHost {
  readonly address: string;
  readonly calls: RpcCall[];
  answer: (call: RpcCall) => RpcAnswer | Promise<RpcAnswer>;
  /** Refuses connections from now on, and cuts those there are. */
  stop(): Promise<void>;
  /** Takes connections again, at the same address and port. */
  start(): Promise<void>;
}

export interface RpcHosts {
  readonly port: number;
  readonly hosts: readonly RpcHost[];
  close(): Promise<void>;
}

/** Starts hosts at 127.0.0.1, 127.0.0.2, ... all on one port, as the members of a pool are. */
export async function startRpcHosts(count: number): Promise<RpcHosts> {
  for (;;) {
    const first = await startHost('127.0.0.1', 0);
    const others = await Promise.allSettled(
      Array.from({ length: count - 1 }, (_, index) => startHost(`127.0.0.${index + 2}`, first.port)),
    );
    const hosts = [first, ...others.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))];
    const close = async (): Promise<void> => {
      await Promise.all(hosts.map((host) => host.stop()));
    };
    if (hosts.length === count) return { port: first.port, hosts, close };
    await close();
  }
}

async function startHost(address: string, port: number): Promise<RpcHost & { port: number }> {
  let server: Server | undefined;
  const host = {
    address,
    port,
    calls: [] as RpcCall[],
    answer: (): RpcAnswer => ({ error: ['MESSAGE_METHOD_UNKNOWN'] }),
    start: async (): Promise<void> => {
      server = createServer((request, response) => {
        void serve(host, request, response);
      });
      await new Promise<void>((resolve, reject) => {
        server!.once('error', reject).listen(host.port, address, resolve);
      });
      host.port = (server.address() as AddressInfo).port;
    },
    stop: async (): Promise<void> => {
      const old = server;
      server = undefined;
      if (old === undefined) return;
      old.closeAllConnections();
      await new Promise((resolve) => old.close(resolve));
    },
  };
  await host.start();
  return host;
}

async function serve(host: RpcHost, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const call = readCall(Buffer.concat(chunks).toString());
  host.calls.push(call);
  const answer = await host.answer(call);
  if ('byHand' in answer) {
    answer.byHand(request, response);
    return;
  }
  const body =
    'result' in answer
      ? { jsonrpc: '2.0', id: 0, result: answer.result }
      : { jsonrpc: '2.0', id: 0, error: { code: 1, message: answer.error[0], data: answer.error.slice(1) } };
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** Clients that fall back to XML-RPC are answered too; what they call is not looked at. */
function readCall(body: string): RpcCall {
  return body.startsWith('{') ? (JSON.parse(body) as RpcCall) : { method: 'xml', params: [] };
}
