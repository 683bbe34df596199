import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import zlib from 'node:zlib';
import { setOf, textOf } from '../../../src/simulator/wire/wire-value.js';
import { type CapturedStep } from './captured-fixtures.js';
import { type CapturedWorld } from './captured-world.js';
import { type Comparison } from './comparison.js';

/** Compression that only newer versions of Node have. */
export const CAN_ZSTD = 'createZstdCompress' in zlib;
/** How long an answer that never ends is waited for, after its last byte. */
const SILENCE_MS = 300;
/** An answer that has to end is given up after so long without a byte. */
const ANSWER_MS = 5000;
/** The simulated pool's answers are compared with this much of a captured body. */
const HEAD_CHARS = 300;

/** A task that has not ended after this long counts as one that never ends. */
const TASK_END_S = 2;

interface EventBatch {
  readonly token: string;
  readonly events: readonly { readonly snapshot?: Readonly<Record<string, unknown>> }[];
}

/** The first disk of a VM, as the capturing client looked it up before a step. */
interface Lookup {
  readonly vm: string;
  readonly vbd?: string;
  readonly vdi?: string;
}

const LOOKUPS: Readonly<Record<string, Lookup>> = {
  'swap: destroy new VBD': {
    vm: 'OpaqueRef:8103d696-dbcf-08e3-2127-857d92f560a7',
    vbd: 'OpaqueRef:c5dca16b-c27e-9a61-37b7-de4900d9479b',
    vdi: 'OpaqueRef:2333e61c-3a02-32a6-deab-16e2066fd669',
  },
  'destroy 2': {
    vm: 'OpaqueRef:91332cb9-d905-9fe9-27f0-1ca4ae40cb22',
    vdi: 'OpaqueRef:7edee486-43ec-0ffd-d13b-aecaadf27a69',
  },
  'enable CBT': {
    vm: 'OpaqueRef:0b428d0f-2027-2ec4-8f00-54d76cb585b8',
    vdi: 'OpaqueRef:cbf1c5b6-bbfe-3e05-0940-43f1c9d819f1',
  },
};

interface Reply {
  readonly status: number;
  readonly version: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly isOpen: boolean;
}

/** Does the steps of a captured flow with a simulated pool, and compares every answer. */
export class Replay {
  readonly #world: CapturedWorld;
  readonly #comparison: Comparison;
  readonly #flow: string;
  /** Bodies that came, by the length that the captured one had: what is sent back later. */
  readonly #bodies = new Map<number, Buffer>();
  #task = '';
  #location = '';
  #vdisBefore = 0;

  constructor(flow: string, world: CapturedWorld, comparison: Comparison) {
    this.#flow = flow;
    this.#world = world;
    this.#comparison = comparison;
  }

  /** Where the last transfer was sent on to; `''` when it was not. */
  get location(): string {
    return this.#location;
  }

  /** `next` is the step after these. */
  async run(steps: readonly CapturedStep[], next?: CapturedStep): Promise<void> {
    for (const [index, step] of steps.entries()) {
      const place = `${this.#flow}: ${step.note}`;
      if (step.note.endsWith('export zstd') && !CAN_ZSTD) continue;
      this.#comparison.steps += 1;
      this.#lookUp(LOOKUPS[step.note]);
      if (step.rpc !== undefined) await this.#call(place, step);
      else if (step.http !== undefined) await this.#transfer(place, step, steps[index + 1] ?? next);
      else if (step.task !== undefined) await this.#taskEnd(place, step.task);
      else if (step.note === 'VDIs before and after restore+force') this.#compareGrowth(place, step);
      else this.#comparison.steps -= 1;
    }
  }

  /** How many disks the last transfer left behind. */
  #compareGrowth(place: string, { before, after }: CapturedStep): void {
    const grown = this.#world.pool.pool.store.count('VDI') - this.#vdisBefore;
    this.#comparison.compare(place, Number(after) - Number(before), grown);
  }

  /** Finds what the capturing client found by calls that were not written down. */
  #lookUp(lookup: Lookup | undefined): void {
    if (lookup === undefined) return;
    const { binding } = this.#comparison;
    const { store } = this.#world.pool.pool;
    const vm = store.get('VM', binding.translate(lookup.vm));
    const [vbd] = setOf(vm, 'VBDs');
    if (vbd === undefined) return;
    const device = store.get('VBD', vbd);
    if (lookup.vbd !== undefined) binding.set(lookup.vbd, vbd);
    if (lookup.vdi !== undefined) binding.set(lookup.vdi, textOf(device, 'VDI'));
  }

  async #call(place: string, step: CapturedStep): Promise<void> {
    const { client } = this.#world;
    if (step.rpc === 'task.cancel') await this.#makeTask(String(step.params?.[1]), '');
    const body = this.#own({ jsonrpc: '2.0', id: step.answer?.id ?? 1, method: step.rpc, params: step.params });
    const url = `${this.#urlOf(step)}/jsonrpc`;
    if (step.answer?.no_answer !== undefined) {
      this.#comparison.answers += 1;
      this.#comparison.compare(`${place}: answered`, false, await isAnswered(url, body));
      return;
    }
    const response = await fetch(url, { method: 'POST', body });
    const text = (await response.text()).replaceAll(client.session || '<session>', '<session>');
    const isJson = text.startsWith('{') || text.startsWith('[');
    const answer = (isJson ? JSON.parse(text) : { page: response.status }) as { readonly result?: unknown };
    if (step.rpc?.startsWith('session.login') && typeof answer.result === 'string') {
      this.#comparison.fields += 1;
      return;
    }
    if (step.headers) this.#compareHeaders(place, step.headers, Object.fromEntries(response.headers));
    this.#comparison.answers += 1;
    const { result } = step.answer ?? {};
    const isPart = step.rpc === 'host.get_record' && typeof result === 'object' && result !== null;
    const own = isPart ? { ...answer, result: partOf(answer.result, result) } : answer;
    this.#comparison.compare(`${place}: ${labelOf(step.rpc ?? '')}`, step.answer, own);
    if (step.rpc?.startsWith('Async.') && typeof answer.result === 'string') this.#task = answer.result;
  }

  async #transfer(place: string, step: CapturedStep, next: CapturedStep | undefined): Promise<void> {
    const [method = '', path = ''] = (step.http ?? '').split(' ');
    this.#vdisBefore = this.#world.pool.pool.store.count('VDI');
    const { binding } = this.#comparison;
    const task = step.query?.task_id;
    if (task !== undefined) await this.#makeTask(task, next?.task?.name_label);
    const target = this.#own(new URLSearchParams(step.query).toString().replaceAll('%3A', ':'));
    const isEndless = step.error?.startsWith('Timeout') ?? step.body_end?.startsWith('still open') ?? false;
    const body = this.#bodyFor(step);
    const isChunked = step.request_headers?.['Transfer-Encoding'] !== undefined;
    const length = method === 'PUT' && !isChunked ? `Content-Length: ${body.length}\r\n` : '';
    const head = `${method} ${path}?${target} HTTP/1.1\r\nHost: pool\r\n${headersOf(step)}${length}\r\n`;
    const reply = await this.#exchange(this.#urlOf(step), head, body, isEndless);
    this.#comparison.answers += 1;
    if (typeof step.answer_bytes === 'number' && step.answer_bytes > 1000) {
      this.#bodies.set(step.answer_bytes, reply.body);
    }
    this.#location = reply.headers.Location ?? '';
    const compare = (what: string, captured: unknown, simulated: unknown): void => {
      this.#comparison.compare(`${place}: http.${what}`, captured, simulated);
    };
    compare('open', isEndless, reply.isOpen);
    if (step.error !== undefined) return;
    compare('status', step.status, reply.status);
    if (step.version !== undefined) compare('version', step.version, reply.version);
    this.#compareHeaders(place, step.headers ?? [], reply.headers);
    compare('empty', step.answer_bytes === 0, reply.body.length === 0);
    if (step.answer_head) {
      const captured = binding.translate(step.answer_head).slice(0, HEAD_CHARS);
      compare('body', captured, reply.body.toString().slice(0, Math.min(captured.length, HEAD_CHARS)));
    }
  }

  async #taskEnd(place: string, captured: NonNullable<CapturedStep['task']>): Promise<void> {
    const { client } = this.#world;
    const isOver = captured.status !== 'pending';
    if (isOver) await this.#waitFor(this.#task);
    const record = await client.call<object>('task.get_record', this.#task);
    this.#comparison.answers += 1;
    this.#comparison.compare(`${place}: task`, captured, 'uuid' in captured ? record : partOf(record, captured));
  }

  /** Gives the pool a task that the capturing client had made, unless it is there. */
  async #makeTask(captured: string, label: unknown): Promise<void> {
    const { binding } = this.#comparison;
    if (binding.isBound(captured)) return;
    this.#task = await this.#world.client.call<string>('task.create', typeof label === 'string' ? label : '', '');
    binding.set(captured, this.#task);
  }

  /** Until the task is over, or until it is clear that it never will be. */
  async #waitFor(task: string): Promise<void> {
    const { client } = this.#world;
    for (let token = ''; ;) {
      const batch = await client.call<EventBatch>('event.from', [`task/${task}`], token, TASK_END_S);
      if (batch.events.length === 0 || batch.events.some(({ snapshot }) => snapshot?.status !== 'pending')) return;
      token = batch.token;
    }
  }

  #compareHeaders(
    place: string,
    captured: readonly (readonly [string, string])[],
    simulated: Readonly<Record<string, string>>,
  ): void {
    const lower = new Map(Object.entries(simulated).map(([name, value]) => [name.toLowerCase(), value]));
    for (const [name, value] of captured) {
      // The length follows the body, which is compared by itself.
      if (/^content-length$/i.test(name)) {
        this.#comparison.compare(`${place}: header.${name}`, true, lower.has('content-length'));
        continue;
      }
      this.#comparison.compare(`${place}: header.${name}`, value, lower.get(name.toLowerCase()));
    }
  }

  /** Captured text in the words of the simulated pool. */
  #own(value: unknown): string {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return this.#comparison.binding
      .translate(text)
      .replaceAll('<session>', this.#world.client.session)
      .replaceAll('%3Csession%3E', this.#world.client.session);
  }

  #bodyFor({ body_bytes: sizeBytes, note }: CapturedStep): Buffer {
    if (!sizeBytes) return Buffer.alloc(0);
    if (note.includes('noise')) return randomBytes(sizeBytes);
    const whole = this.#bodies.get(sizeBytes) ?? this.#bodies.get(sizeBytes * 2) ?? [...this.#bodies.values()].at(-1);
    if (whole === undefined) throw new Error(`Nothing of ${sizeBytes} bytes came before: ${note}`);
    if (!this.#bodies.has(sizeBytes)) return whole.subarray(0, whole.length / 2);
    if (!note.includes('flipped')) return whole;
    const damaged = Buffer.from(whole);
    const middle = Math.floor(damaged.length / 2);
    damaged.writeUInt8(damaged.readUInt8(middle) ^ 1, middle);
    return damaged;
  }

  #urlOf({ at }: CapturedStep): string {
    return at === undefined ? this.#world.pool.httpUrl : (this.#world.urls?.[at] ?? '');
  }

  #exchange(url: string, head: string, body: Buffer, isEndless: boolean): Promise<Reply> {
    const { port, hostname } = new URL(url);
    return new Promise((resolve, reject) => {
      const pieces: Buffer[] = [];
      const socket = connect(Number(port), hostname, () => {
        socket.write(head);
        socket.write(body);
      });
      const finish = (isOpen: boolean): void => {
        socket.destroy();
        resolve(parseReply(Buffer.concat(pieces), isOpen));
      };
      socket.setTimeout(isEndless ? SILENCE_MS : ANSWER_MS, () => {
        finish(true);
      });
      socket.on('data', (chunk: Buffer) => {
        pieces.push(chunk);
        if (!isEndless && isComplete(pieces)) finish(false);
      });
      socket.on('end', () => {
        finish(false);
      });
      socket.on('error', (error) => {
        if (pieces.length > 0) finish(false);
        else reject(error);
      });
    });
  }
}

/** Nothing is what cannot be waited for: a call that is held is given up after a while, as the capturing client did. */
async function isAnswered(url: string, body: string): Promise<boolean> {
  return fetch(url, { method: 'POST', body, signal: AbortSignal.timeout(SILENCE_MS) }).then(
    () => true,
    () => false,
  );
}

/** Of a record only the fields that were written down of the captured one. */
function partOf(record: unknown, captured: object): unknown {
  if (typeof record !== 'object' || record === null) return record;
  return Object.fromEntries(Object.entries(record).filter(([name]) => name in captured));
}

function headersOf(step: CapturedStep): string {
  const extra = Object.entries(step.request_headers ?? {}).map(([name, value]) => `${name}: ${value}\r\n`);
  return extra.join('');
}

function labelOf(method: string): string {
  const [, cls = '', verb = ''] = /^(?:Async\.)?([^.]*)\.(.*)$/.exec(method) ?? [];
  return verb === 'get_record' || verb === 'get_all_records' ? cls : method;
}

/** An answer that says how long it is, and is. */
function isComplete(pieces: readonly Buffer[]): boolean {
  const start = (pieces[0] ?? Buffer.alloc(0)).toString('latin1', 0, 1000);
  const end = start.indexOf('\r\n\r\n');
  const length = /content-length: *(\d+)/i.exec(start.slice(0, Math.max(0, end)))?.[1];
  const sizeBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return length !== undefined && sizeBytes >= end + 4 + Number(length);
}

function parseReply(bytes: Buffer, isOpen: boolean): Reply {
  const end = bytes.indexOf('\r\n\r\n');
  const lines = bytes.toString('latin1', 0, Math.max(0, end)).split('\r\n');
  const [, version = '', status = ''] = /^HTTP\/(\d\.\d) (\d+)/.exec(lines[0] ?? '') ?? [];
  return {
    status: Number(status),
    version: Number(version.replace('.', '')),
    headers: Object.fromEntries(
      lines.slice(1).map((line) => [line.replace(/:.*$/s, ''), line.replace(/^[^:]*: ?/, '')]),
    ),
    body: bytes.subarray(end + 4),
    isOpen,
  };
}
