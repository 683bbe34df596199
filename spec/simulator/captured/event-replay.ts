import { type RunningPool } from '../../../src/simulator/index.js';
import { RpcClient } from '../support/rpc-client.js';
import { type Comparison } from './comparison.js';
import { byName, orderOf, outcomesOf, type SeenEvent, wireTypes } from './event-outcome.js';
import { EventActions } from './event-steps.js';

/** A step of the captured sequence: a call of `event.from`, what it answered, or what another call answered. */
export interface EventStep {
  readonly note: string;
  readonly classes?: readonly string[];
  readonly token?: string;
  readonly timeout?: number | string;
  readonly events?: readonly SeenEvent[];
  readonly answerToken?: string;
  /** `valid_ref_counts`; whole in the first step, later of the classes that matter. */
  readonly counts?: Counts;
  readonly error?: readonly string[];
  readonly answer?: unknown;
  readonly operations?: readonly (readonly [cls: string, operation: string])[];
  readonly keys_of_an_event?: readonly string[];
  readonly task?: Readonly<Record<string, unknown>>;
  readonly first?: readonly (readonly [cls: string, operation: string, keys: readonly string[]])[];
}

type Counts = Readonly<Record<string, number>>;

interface Batch {
  readonly events: readonly SeenEvent[];
  readonly token: string;
  readonly valid_ref_counts: Counts;
}

/** Batches of one action, told apart by their number. */
const BATCH = /: batch \d+$/;
const OWN_RESULT = /: the call itself$/;
/** Nothing is going to happen: how long an empty answer is waited for. */
const EMPTY_S = 0.02;
/** A change has been made or is about to be. */
const CHANGE_S = 5;
/** Tokens that stand for themselves. */
const LITERAL = /^$|^0{20},0{20}$|^5,0$|^\d{20}$|^0*999999,/;

/** Does what was done while a real XAPI's events were watched, and compares what is seen of it. */
export class EventReplay {
  readonly #pool: RunningPool;
  readonly #client: RpcClient;
  readonly #comparison: Comparison;
  readonly #actions: EventActions;
  /** The simulated pool's token for each captured one. */
  readonly #tokens = new Map<string, string>();
  readonly #goneThere = new Set<string>();
  readonly #goneHere = new Set<string>();
  /** Neighbours in captured batches, and in those of the simulated pool. */
  readonly #orders = { captured: new Set<string>(), simulated: new Set<string>() };
  batches = 0;

  constructor(pool: RunningPool, client: RpcClient, comparison: Comparison, vm: string) {
    this.#pool = pool;
    this.#client = client;
    this.#comparison = comparison;
    this.#actions = new EventActions(pool, client, vm);
  }

  async run(steps: readonly EventStep[]): Promise<void> {
    for (let index = 0; index < steps.length; index += 1) {
      const step = steps[index]!;
      const own = step.note.replace(BATCH, '').replace(OWN_RESULT, '');
      if (own === step.note) {
        await this.#single(step);
        this.#comparison.steps += 1;
        continue;
      }
      const end = steps.findIndex(({ note }, place) => place >= index && note.endsWith(': the call itself'));
      await this.#action(own, steps.slice(index, end + 1));
      this.#comparison.steps += end + 1 - index;
      index = end;
    }
    const reversed = [...this.#orders.simulated]
      .filter((pair) => !this.#orders.captured.has(pair))
      .filter((pair) => this.#orders.captured.has(pair.split(' ').reverse().join(' ')));
    this.#comparison.compare('events: order in a batch', [], reversed);
  }

  /** A call of its own: its answer is compared event by event. */
  async #single(step: EventStep): Promise<void> {
    const place = `events: ${step.note}`;
    if (step.first !== undefined) {
      await this.#first(place, step);
    } else if (step.operations !== undefined) {
      const batch = await this.#from(['vm'], '', EMPTY_S);
      this.#comparison.compare(
        `${place}.data`,
        step.operations.map(([cls, operation]) => `${cls} ${operation}`),
        batch.events.map(({ class: cls, operation }) => `${cls} ${operation}`),
      );
      this.#comparison.compare(`${place}.keys`, step.keys_of_an_event, Object.keys(batch.events[0] ?? {}).sort());
      this.#compareCounts(place, step.counts, batch.valid_ref_counts);
      this.#take(step, batch.token);
    } else if (step.task !== undefined) {
      const record = await this.#client.call('task.get_record', this.#actions.task);
      this.#comparison.compare(place, step.task, record);
    } else if (step.note === 'token before event.inject') {
      this.#take(step, (await this.#from(['vm'], '', EMPTY_S)).token);
    } else if (step.note.startsWith('event.inject')) {
      await this.#inject(place, step);
    } else if (step.note.startsWith('session.logout')) {
      await this.#logout(place, step);
    } else if (step.events !== undefined || step.classes !== undefined) {
      await this.#watched(place, step);
    }
  }

  async #watched(place: string, step: EventStep): Promise<void> {
    const classes = this.#classesOf(step);
    await this.#actions.preparations[step.note]?.();
    const isInjected = step.note === 'event.from with the token that event.inject gave';
    const token = isInjected
      ? await this.#client.call<string>('event.inject', 'VM', this.#vmRef())
      : await this.#tokenFor(step.token ?? '', classes);
    const isLate = step.note.startsWith('change 1 s into the call');
    const act = isLate
      ? (): Promise<unknown> => this.#client.call('VM.set_name_description', this.#vmRef(), 'late')
      : this.#actions.actions[step.note];
    const isEmpty = step.events === undefined || step.events.length === 0;
    const wait = isEmpty ? ownTimeout(step.timeout) : CHANGE_S;
    if (step.error !== undefined) {
      const error = await this.#client.error('event.from', classes, token, wait);
      this.#comparison.compare(`${place}.data`, step.error, error);
      return;
    }
    if (!isLate) await act?.();
    const answer = this.#from(classes, token, wait);
    if (isLate) await act?.();
    const batch = await answer;
    const seen = step.events ?? [];
    this.#comparison.compare(`${place}: kinds.data`, kindsOf(seen), kindsOf(batch.events));
    for (const [index, event] of seen.entries()) {
      this.#compareRecord(
        `${place}: ${event.class}`,
        event.snapshot ?? event.snapshot_part,
        sameIn(batch.events, event) ?? batch.events[index],
        event,
      );
    }
    this.#orders.captured = new Set([...this.#orders.captured, ...pairsOf(seen)]);
    this.#comparison.compare(
      `${place}: token is the one given`,
      step.answerToken === step.token,
      batch.token === token,
    );
    this.#comparison.compare(`${place}: token form`, formOf(step.answerToken), formOf(batch.token));
    this.#take(step, batch.token);
  }

  /** All batches while something is done: what they come to is compared, with the answer of the call. */
  async #action(note: string, steps: readonly EventStep[]): Promise<void> {
    const place = `events: ${note}`;
    const watched = steps.filter(({ events }) => events !== undefined);
    const classes = watched[0]?.classes ?? [];
    await this.#actions.preparations[note]?.();
    const before = await this.#from(classes, '', EMPTY_S);
    const state = { token: before.token, isOver: false };
    const seen: Batch[] = [];
    const watching = (async (): Promise<void> => {
      while (!state.isOver && classes.length > 0) seen.push(await this.#next(classes, state));
      while (classes.length > 0 && (seen.push(await this.#next(classes, state)), seen.at(-1)?.events.length !== 0));
    })();
    const result = await this.#actions.actions[note]?.();
    state.isOver = true;
    await watching;
    this.batches += seen.length;
    for (const { events = [] } of watched) for (const pair of pairsOf(events)) this.#orders.captured.add(pair);
    for (const { events } of seen) for (const pair of pairsOf(events)) this.#orders.simulated.add(pair);
    const there = byName(
      outcomesOf(
        watched.map(({ events = [] }) => events),
        this.#goneThere,
      ),
    );
    const here = byName(
      outcomesOf(
        seen.map(({ events }) => events),
        this.#goneHere,
      ),
    );
    this.#comparison.compare(`${place}: outcome`, asSet(there.keys()), asSet(here.keys()));
    for (const [name, outcome] of there) {
      const own = here.get(name);
      // What storage has in all differs: the capture had other disks.
      if (own !== undefined && outcome.operation !== 'del' && outcome.class !== 'sr') {
        this.#compareRecord(`${place}: ${name}`, outcome.record, { ...own, snapshot: own.record }, outcome);
      }
    }
    const last = watched.at(-1)?.counts;
    const added = (
      events: ReadonlyMap<string, { readonly operation: string; readonly class: string }>,
      cls: string,
    ): number =>
      [...events.values()].reduce(
        (sum, one) => sum + (one.class === cls ? (one.operation === 'add' ? 1 : one.operation === 'del' ? -1 : 0) : 0),
        0,
      );
    for (const cls of Object.keys(last ?? {})) {
      const change = (seen.at(-1)?.valid_ref_counts[cls] ?? 0) - (before.valid_ref_counts[cls] ?? 0);
      if (classes.includes(cls)) this.#comparison.compare(`${place}: count of ${cls}`, added(there, cls), change);
    }
    if (note !== 'session.login and logout') this.#compareResult(place, steps.at(-1)?.answer, result);
  }

  async #next(classes: readonly string[], state: { token: string }): Promise<Batch> {
    const batch = await this.#from(classes, state.token, EMPTY_S);
    state.token = batch.token;
    return batch;
  }

  /** Records that were written down of a task, or the bare result. */
  #compareResult(place: string, captured: unknown, simulated: unknown): void {
    if (typeof captured === 'object' && captured !== null && !Array.isArray(captured) && 'bytes' in captured) {
      const { task_right_after_the_last_byte: task } = captured as unknown as {
        task_right_after_the_last_byte: object;
      };
      this.#comparison.compare(`${place}: result`, task, partOf(simulated, task));
    } else if (Array.isArray(captured)) {
      for (const [index, one] of captured.entries()) {
        this.#comparison.compare(`${place}: result`, one, partOf((simulated as unknown[])[index], one));
      }
    } else {
      this.#comparison.compare(`${place}: result`, captured, partOf(simulated, captured));
    }
  }

  async #inject(place: string, step: EventStep): Promise<void> {
    const name = /letters|unknown class|unknown ref/.exec(step.note)?.[0];
    const cls = name === 'letters' ? 'vm' : name === 'unknown class' ? 'nosuch' : 'VM';
    const ref = name === 'unknown ref' ? 'OpaqueRef:bogus' : this.#vmRef();
    const answer = await this.#client.error('event.inject', cls, ref);
    if (step.error !== undefined) this.#comparison.compare(`${place}.data`, step.error, answer);
    else this.#comparison.compare(`${place}: token form`, formOf(String(step.answer)), formOf(unquoted(answer[1])));
  }

  async #logout(place: string, step: EventStep): Promise<void> {
    const other = await new RpcClient(this.#pool.httpUrl).login(this.#pool);
    const { token } = await other.call<Batch>('event.from', ['vm'], '', EMPTY_S);
    const waiting = other.error('event.from', ['vm'], token, CHANGE_S);
    await this.#client.call('VM.get_all');
    await new RpcClient(this.#pool.httpUrl).raw('session.logout', [other.session]);
    const error = (await waiting).map((text) => text.replace(other.session, '<session>'));
    this.#comparison.compare(`${place}.data`, step.error, error);
  }

  /** The first batch of everything, of another run: classes in their order, and the keys of events. */
  async #first(place: string, step: EventStep): Promise<void> {
    const { events, token, valid_ref_counts: counts } = await this.#from(['*'], '', EMPTY_S);
    this.#comparison.compare(`${place}: token form`, formOf(step.answerToken), formOf(token));
    const known = step.first ?? [];
    const rows = (list: readonly string[]): readonly string[] => [...new Set(list)];
    const captured = rows(known.map(([cls, operation]) => `${cls} ${operation}`));
    const simulated = rows(events.map(({ class: cls, operation }) => `${cls} ${operation}`));
    this.#comparison.compare(
      `${place}.data`,
      captured,
      simulated.filter((one) => captured.includes(one)),
    );
    this.#comparison.compare(`${place}: keys`, known[0]?.[2], Object.keys(events[0] ?? {}).sort());
    this.#compareCounts(place, step.counts, counts);
  }

  #compareCounts(place: string, captured: Counts | undefined, simulated: Counts): void {
    this.#comparison.compare(`${place}: counts`, wireTypes(captured ?? {}), wireTypes(simulated));
  }

  #compareRecord(place: string, captured: unknown, event: SeenEvent | undefined, from: object): void {
    if (typeof captured !== 'object' || captured === null) return;
    const own = event?.snapshot ?? {};
    const isWhole = 'isWhole' in from ? from.isWhole === true : 'snapshot' in from;
    if (isWhole) this.#comparison.compare(`${place}: types`, wireTypes({ ...captured }), wireTypes(own));
    else this.#comparison.compare(place, captured, partOf(own, captured));
  }

  async #tokenFor(captured: string, classes: readonly string[]): Promise<string> {
    if (LITERAL.test(captured)) return captured;
    const known = this.#tokens.get(captured);
    if (known !== undefined) return known;
    // A call that was not written down gave it.
    const { token } = await this.#from(classes, '', EMPTY_S);
    this.#tokens.set(captured, token);
    return token;
  }

  #classesOf({ classes, note }: EventStep): readonly string[] {
    const wanted = classes ?? (note.startsWith('event.from on task/ref') ? [`task/${this.#actions.task}`] : ['vm']);
    return wanted.map((name) =>
      name.startsWith('task/') ? `task/${this.#actions.task}` : this.#comparison.binding.translate(name),
    );
  }

  #take(step: EventStep, token: string): void {
    if (step.answerToken !== undefined) this.#tokens.set(step.answerToken, token);
  }

  #vmRef(): string {
    const { store } = this.#pool.pool;
    return store.all('VM').find(([, { name_label: label }]) => label === 'ev-vm')?.[0] ?? '';
  }

  #from(classes: readonly string[], token: string, timeout: number | string): Promise<Batch> {
    return this.#client.call<Batch>('event.from', classes, token, timeout);
  }
}

/** Objects of one class come in no order that means something. */
function sameIn(events: readonly SeenEvent[], event: SeenEvent): SeenEvent | undefined {
  const name = (event.snapshot ?? event.snapshot_part)?.name_label;
  return events.find((one) => one.class === event.class && name !== undefined && one.snapshot?.name_label === name);
}

function kindsOf(events: readonly SeenEvent[]): readonly string[] {
  return events.map(({ class: cls, operation }) => `${cls} ${operation}`);
}

/** So that each difference has a place of its own. */
function asSet(names: Iterable<string>): Readonly<Record<string, true>> {
  return Object.fromEntries([...names].map((name) => [name, true]));
}

function pairsOf(events: readonly SeenEvent[]): readonly string[] {
  return orderOf(events)
    .filter(([first, second]) => first !== second)
    .map(([first, second]) => `${first} ${second}`);
}

/** Nothing is gained by waiting as long as the capturing client did; the form of the number is what counts. */
function ownTimeout(timeout: number | string | undefined): number | string {
  if (typeof timeout === 'string') return String(EMPTY_S);
  return timeout === undefined || timeout > EMPTY_S ? EMPTY_S : timeout;
}

function formOf(token: string | undefined): string {
  return (token ?? '').replace(/\d/g, 'n');
}

function unquoted(text: string | undefined): string {
  return (text ?? '').replaceAll('"', '');
}

function partOf(record: unknown, captured: unknown): unknown {
  if (typeof record !== 'object' || record === null || typeof captured !== 'object' || captured === null) return record;
  return Object.fromEntries(Object.entries(record).filter(([name]) => name in captured));
}
