import { connect, type Socket } from 'node:net';
import { MIB } from '../../../src/common/byte-size.js';
import { type RunningPool } from '../../../src/simulator/index.js';
import { setOf, textOf } from '../../../src/simulator/wire/wire-value.js';
import { RpcClient } from '../support/rpc-client.js';
import { type CapturedStep } from './captured-fixtures.js';
import { type Comparison } from './comparison.js';
import { wireTypes } from './event-outcome.js';

/** Ten times what the captured takeover took, so that a slow machine's own time counts for little. */
export const TAKEOVER_MS = 90_000;
const SECOND_MS = TAKEOVER_MS / 9;
const WATCHED = ['vm', 'host', 'task'];
const EMPTY_S = 0.02;

interface Batch {
  readonly events: readonly { readonly class: string; readonly operation: string }[];
  readonly token: string;
  readonly valid_ref_counts: Readonly<Record<string, number>>;
}

/** Steps of the pool of two that are no single request: what the capturing client noted of several, or did beside. */
export class PoolOfTwoFacts {
  readonly #pool: RunningPool;
  readonly #comparison: Comparison;
  readonly #client: RpcClient;
  readonly #session: string;
  #imported = '';
  #token = '';
  #slowExport: SlowExport | undefined;
  #waiting: { readonly coordinator: Batch; readonly member: unknown } | undefined;
  #takeoverS = 0;

  constructor(pool: RunningPool, comparison: Comparison, client: RpcClient) {
    this.#pool = pool;
    this.#comparison = comparison;
    this.#client = client;
    this.#session = client.session;
  }

  /** True when the step was such a one, and has been compared. */
  async check(step: CapturedStep, location: string): Promise<boolean> {
    const { note } = step;
    const later = /^login (\d+) s after/.exec(note)?.[1];
    if (later !== undefined) await this.#loginLater(step, Number(later));
    else if (note in this.#facts) await this.#facts[note]?.(step, location);
    else return false;
    return true;
  }

  /** What the capturing client did after a step without writing it down. */
  async after({ note, task }: CapturedStep): Promise<void> {
    const imported = /<value>(OpaqueRef:[^<]+)<\/value>/.exec(textIn(task?.result))?.[1];
    if (imported !== undefined) this.#imported = this.#comparison.binding.translate(imported);
    if (note === 'start a VM on the coordinator') await this.#call('VM.set_name_label', this.#imported, 'imported');
    if (!note.startsWith('pool.sync_database')) return;
    const { store } = this.#pool.pool;
    const [running] = await this.#call<string[]>('VM.get_by_name_label', 'onB');
    const made = await this.#call<string>('VM.snapshot', running, 'made after the sync');
    const [vbd = ''] = setOf(store.get('VM', made), 'VBDs');
    const task2 = await this.#call<string>('task.create', 'made after the sync', '');
    for (const [captured, own] of [
      ['77ca8fc9-d15a-070a-738e-c41cc0b3f986', made],
      ['324150f9-5638-8898-2d5a-0c8ff8873f24', textOf(store.get('VBD', vbd), 'VDI')],
      ['190a6123-2c38-1580-b6f8-282c6fe99649', task2],
    ] as const) {
      this.#comparison.binding.set(`OpaqueRef:${captured}`, own);
    }
  }

  readonly #facts: Readonly<Record<string, (step: CapturedStep, location: string) => Promise<void> | void>> = {
    'pool record': (step) => this.#record(step, 'pool', this.#pool.pool.poolEntry[0]),
    'host record of the coordinator': (step) => this.#record(step, 'host', this.#host(0)),
    'host record of the member': (step) => this.#record(step, 'host', this.#host(1)),
    'SR records and their PBDs': async ({ note, srs, pbds }) => {
      const records = Object.values(await this.#call<Record<string, { readonly type: string }>>('SR.get_all_records'));
      const own = records.filter(({ type }) => type === 'file');
      this.#compare(`${note}: SR`, srs, own);
      const attached = Object.values(await this.#call<Record<string, { readonly SR: string }>>('PBD.get_all_records'));
      const ofSrs = attached.filter(({ SR }) => textOf(this.#pool.pool.store.get('SR', SR), 'type') === 'file');
      this.#compare(`${note}: PBD`, pbds, ofSrs);
    },
    'the Location taken apart': ({ note, scheme_host: place, query }, location) => {
      const { origin, pathname, searchParams } = new URL(location);
      this.#compare(`${note}.place`, place, `${origin}${pathname}`);
      const own = Object.fromEntries([...searchParams].map(([name, value]) => [name, this.#hidden(value)]));
      this.#compare(`${note}.query`, query, own);
    },
    'token before': async ({ note, token }) => {
      this.#token = (await this.#call<Batch>('event.from', WATCHED, '', EMPTY_S)).token;
      await this.#call('VM.set_name_description', this.#imported, 'a change after the token');
      this.#compare(note, token, this.#token);
    },
    'an export at the member has begun, read slowly': async ({ note, head }) => {
      const target = `/export?session_id=${this.#session}&ref=${this.#imported}`;
      this.#slowExport = new SlowExport(this.#pool.hosts[1]!.httpUrl, target);
      this.#compare(`${note}: head`, head, await this.#slowExport.head());
      const member = new RpcClient(this.#pool.hosts[1]!.httpUrl);
      this.#waiting = {
        coordinator: await this.#call<Batch>('event.from', [`vm/${this.#imported}`], this.#token, 5),
        member: await member.post({
          jsonrpc: '2.0',
          id: 1,
          method: 'event.from',
          params: [this.#session, ['vm'], this.#token, 5],
        }),
      };
    },
    'the coordinator is killed': async () => {
      await this.#pool.perform('killHost', { host: 'vm1' });
    },
    'the export at the member after that': async ({ note, end }) => {
      const bytes = await this.#slowExport?.rest();
      this.#compare(`${note}: end`, end, 'closed');
      this.#compare(`${note}: whole`, true, (bytes?.length ?? 0) > 2 * MIB);
      this.#compare(
        `${note}: end of the archive`,
        true,
        bytes?.subarray(-1024).every((byte) => byte === 0),
      );
    },
    'the two event.from calls that waited when it died': (step) => {
      const atCoordinator = step['at the coordinator'] as { readonly token: string; readonly events: number };
      const { coordinator, member } = this.#waiting ?? {};
      const own = { token: coordinator?.token, events: coordinator?.events.length };
      this.#compare(`${step.note}: coordinator`, atCoordinator, own);
      this.#compare(`${step.note}: member`, step['at the member'], member);
    },
    'uuids before': ({ note, uuids }) => {
      const { store, poolEntry } = this.#pool.pool;
      const vmA = store.all('VM').find(([, { name_label: label }]) => label === 'onA')?.[1];
      this.#compare(note, uuids, {
        pool: textOf(poolEntry[1], 'uuid'),
        hostA: textOf(store.get('host', this.#host(0)), 'uuid'),
        hostB: textOf(store.get('host', this.#host(1)), 'uuid'),
        vmA: textOf(vmA ?? {}, 'uuid'),
      });
    },
    'event.from with the old token': async ({ note, answer }) => {
      const client = await new RpcClient(this.#pool.hosts[1]!.httpUrl).login(this.#pool);
      const batch = await client.call<Batch>('event.from', WATCHED, this.#token, 2);
      const { events, ...rest } = answer?.result as Omit<Batch, 'events'> & { readonly events: readonly string[][] };
      this.#compare(`${note}: token`, rest.token, batch.token);
      this.#compare(`${note}: counts`, wireTypes(rest.valid_ref_counts), wireTypes(batch.valid_ref_counts));
      const kinds = (list: readonly string[]): readonly string[] => [...new Set(list)];
      this.#compare(
        `${note}: kinds`,
        kinds(events.map(([cls, operation]) => `${cls} ${operation}`)),
        kinds(batch.events.map(({ class: cls, operation }) => `${cls} ${operation}`)),
      );
      await client.call('session.logout');
    },
  };

  /** A login at the member so long after it was told to take over. */
  async #loginLater({ note, answer }: CapturedStep, seconds: number): Promise<void> {
    await this.#pool.perform('advanceClock', { ms: (seconds - this.#takeoverS) * SECOND_MS });
    this.#takeoverS = seconds;
    const { username, password, hosts } = this.#pool;
    const params = [username, password, '1.0', 'pool'];
    const request = { jsonrpc: '2.0', id: 1, method: 'session.login_with_password', params };
    const own = await new RpcClient(hosts[1]!.httpUrl).post(request).catch(() => ({ no_answer: true }));
    const captured = answer?.no_answer === undefined ? answer : { no_answer: true };
    const hidden = 'result' in own ? { ...own, result: '<session>' } : own;
    this.#compare(note, captured, hidden);
  }

  async #record({ note, record }: CapturedStep, cls: string, ref: string): Promise<void> {
    const own = await this.#call<object>(`${cls}.get_record`, ref);
    // Of hosts not every field was written down.
    const part = Object.entries(own).filter(([name]) => name in (record as object));
    this.#compare(`${note}: ${cls}`, record, Object.fromEntries(part));
  }

  #compare(place: string, captured: unknown, simulated: unknown): void {
    this.#comparison.answers += 1;
    this.#comparison.compare(`pool: ${place}`, captured, simulated);
  }

  #host(index: number): string {
    return this.#pool.pool.store.refByUuid('host', this.#pool.hosts[index]!.uuid);
  }

  #hidden(value: string): string {
    return value.replaceAll(this.#session, '<session>');
  }

  /** With the session of the pool, whatever the replayed steps use just then. */
  async #call<T>(method: string, ...params: readonly unknown[]): Promise<T> {
    return (await this.#client.raw(method, [this.#session, ...params])) as T;
  }
}

/** An export of which nothing but the head is read at first. */
class SlowExport {
  readonly #socket: Socket;

  constructor(url: string, target: string) {
    const { port, hostname } = new URL(url);
    this.#socket = connect(Number(port), hostname);
    this.#socket.write(`GET ${target} HTTP/1.1\r\nHost: pool\r\n\r\n`);
  }

  async head(): Promise<string> {
    for (let text = ''; ;) {
      const byte = this.#socket.read(1) as Buffer | null;
      if (byte === null) await new Promise((resolve) => this.#socket.once('readable', resolve));
      else if ((text += byte.toString('latin1')).endsWith('\r\n\r\n')) return text;
    }
  }

  /** Rejects when the connection does not end well. */
  async rest(): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for await (const piece of this.#socket) pieces.push(piece as Buffer);
    return Buffer.concat(pieces);
  }
}

function textIn(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
