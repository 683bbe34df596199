/** One event as `event.from` gives it; of captured records only the first of a class is whole. */
export interface SeenEvent {
  readonly class: string;
  readonly operation: string;
  readonly ref: string;
  readonly snapshot?: Readonly<Record<string, unknown>>;
  readonly snapshot_part?: Readonly<Record<string, unknown>>;
}

/** What became of one object while something was done, however its changes were merged into batches. */
export interface Outcome {
  readonly operation: string;
  readonly class: string;
  readonly ref: string;
  readonly label: string;
  readonly record: Readonly<Record<string, unknown>>;
  readonly isWhole: boolean;
}

/**
 * Where XAPI merges changes depends on the moment of the call; the end does not. Objects that came and went meanwhile,
 * and those that were gone before (`gone`, brought up to date), have none.
 */
export function outcomesOf(batches: readonly (readonly SeenEvent[])[], gone: Set<string>): readonly Outcome[] {
  const found = new Map<string, Outcome>();
  for (const event of batches.flat()) {
    const { class: cls, operation, ref } = event;
    const before = found.get(ref);
    if (operation === 'del') {
      found.delete(ref);
      if (before?.operation !== 'add' && !gone.has(ref)) found.set(ref, outcomeOf(event, before, 'del'));
      gone.add(ref);
    } else {
      found.set(ref, outcomeOf(event, before, before?.operation ?? operation));
    }
    if (cls === 'task' && operation === 'del') found.delete(ref);
  }
  return [...found.values()];
}

function outcomeOf(event: SeenEvent, before: Outcome | undefined, operation: string): Outcome {
  const record = event.snapshot ?? event.snapshot_part ?? before?.record ?? {};
  const label =
    event.class === 'sr'
      ? ''
      : textIn(record.name_label ?? record.name ?? record.userdevice ?? record.device ?? before?.label);
  return { operation, class: event.class, ref: event.ref, label, record, isWhole: event.snapshot !== undefined };
}

/** Names that tell outcomes of one action apart. */
export function byName(outcomes: readonly Outcome[]): ReadonlyMap<string, Outcome> {
  const named = new Map<string, Outcome>();
  for (const outcome of outcomes) {
    const name = `${outcome.class} ${outcome.operation} ${outcome.operation === 'del' ? '' : outcome.label}`.trim();
    let number = 1;
    while (named.has(number === 1 ? name : `${name} ${number}`)) number += 1;
    named.set(number === 1 ? name : `${name} ${number}`, outcome);
  }
  return named;
}

/** The kinds of values in a record, by field: what a client's decoder relies on. */
export function wireTypes(record: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(record).map(([field, value]) => [field, wireType(value)]));
}

function wireType(value: unknown): string {
  if (Array.isArray(value)) return 'list';
  if (typeof value !== 'string') return typeof value;
  if (/^\d{8}T\d\d:\d\d:\d\dZ$/.test(value)) return 'date';
  return value.startsWith('OpaqueRef:') ? 'reference' : 'string';
}

/** Pairs of neighbours whose order says something: operations everywhere, classes within one operation. */
export function orderOf(events: readonly SeenEvent[]): readonly (readonly [string, string])[] {
  return events.slice(1).map((event, index) => {
    const before = events[index]!;
    const isSame = before.operation === event.operation && before.class !== 'message' && event.class !== 'message';
    return isSame ? [before.class, event.class] : [groupOf(before), groupOf(event)];
  });
}

function groupOf({ class: cls, operation }: SeenEvent): string {
  return cls === 'message' ? '(message)' : `(${operation})`;
}

function textIn(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
