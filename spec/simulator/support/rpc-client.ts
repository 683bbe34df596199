import { startSimulatedPool, type RunningPool, type SimulatedPoolOptions } from '../../../src/simulator/index.js';

export type Json = Readonly<Record<string, unknown>>;

/** A bare JSON-RPC client for specs: what came is what it gives. */
export class RpcClient {
  readonly #url: string;
  session = '';

  constructor(url: string) {
    this.#url = url;
  }

  async login(pool: Pick<RunningPool, 'username' | 'password'>): Promise<this> {
    this.session = (await this.raw('session.login_with_password', [pool.username, pool.password])) as string;
    return this;
  }

  /** A call with the session put first; the result, or the error as `[code, ...params]` thrown. */
  call<T>(method: string, ...params: readonly unknown[]): Promise<T> {
    return this.raw(method, [this.session, ...params]) as Promise<T>;
  }

  /** The error a call must give, as `[code, ...params]`, whatever form the release gives it. */
  async error(method: string, ...params: readonly unknown[]): Promise<readonly string[]> {
    const answer = await this.post({ jsonrpc: '2.0', id: 1, method, params: [this.session, ...params] });
    return errorOf(answer) ?? ['no error', JSON.stringify(answer.result)];
  }

  async raw(method: string, params: readonly unknown[]): Promise<unknown> {
    const answer = await this.post({ jsonrpc: '2.0', id: 1, method, params });
    const error = errorOf(answer);
    if (error !== undefined) throw new Error(error.join(' '));
    return answer.result;
  }

  async post(body: Json): Promise<Json> {
    const response = await fetch(`${this.#url}/jsonrpc`, { method: 'POST', body: JSON.stringify(body) });
    return (await response.json()) as Json;
  }

  /** The end of a task, as `event.from` tells it. */
  async taskEnd(task: string): Promise<Json> {
    for (let token = ''; ;) {
      const batch = await this.call<{ token: string; events: { snapshot?: Json }[] }>(
        'event.from',
        [`task/${task}`],
        token,
        10,
      );
      token = batch.token;
      const last = batch.events.at(-1)?.snapshot;
      if (last !== undefined && last.status !== 'pending') return last;
    }
  }
}

function errorOf(answer: Json): readonly string[] | undefined {
  const error = answer.error as { message: string; data: string[] } | readonly string[] | null | undefined;
  if (error === undefined || error === null) return undefined;
  return 'message' in error ? [error.message, ...error.data] : error;
}

/** A pool and a client that is logged in at its coordinator. */
export async function startWithClient(
  options: SimulatedPoolOptions = {},
): Promise<{ pool: RunningPool; client: RpcClient }> {
  const pool = await startSimulatedPool(options);
  return { pool, client: await new RpcClient(pool.httpUrl).login(pool) };
}

/** The reference of the only object of that name. */
export async function named(client: RpcClient, cls: string, name: string): Promise<string> {
  const refs = await client.call<string[]>(`${cls}.get_by_name_label`, name);
  if (refs.length !== 1 || refs[0] === undefined) throw new Error(`${refs.length} objects are called ${name}`);
  return refs[0];
}
