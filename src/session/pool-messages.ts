import { type RecordClass, xapiDate } from '../xapi/xapi-records.js';
import { type PoolConnection } from './pool-connection.js';

/** Names of the messages that the pool has about an object since then, by the pool's clock; dates are whole seconds. */
export async function messageNamesSince(
  pool: Pick<PoolConnection, 'call'>,
  { cls, uuid }: { readonly cls: RecordClass; readonly uuid: string },
  sinceMs: number,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const args = [cls, uuid, xapiDate(sinceMs)];
  const messages = await pool.call<Readonly<Record<string, { readonly name?: unknown }>>>('message.get', args, {
    signal,
  });
  return Object.values(messages).map(({ name }) => String(name));
}
