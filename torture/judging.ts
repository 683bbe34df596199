import { readdir } from 'node:fs/promises';
import { type PoolState } from '../src/simulator/index.js';
import { type Arena } from './arena.js';

/** Undefined when the work is done; the error otherwise. */
export async function within(limitMs: number, work: Promise<void>): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<unknown>((resolve) => {
    timer = setTimeout(() => {
      resolve(`no end within ${limitMs} ms`);
    }, limitMs);
  });
  const done = work.then(
    () => undefined,
    (error: unknown) => error,
  );
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Open files and sockets of this process. */
export async function handleCount(): Promise<number> {
  return (await readdir('/proc/self/fd').catch(() => [])).length;
}

/** What a machine's start changes, and drives that were made anew for the same disks. */
export const BY_START =
  /^(VBD|VBD_metrics|VM_metrics|VM_guest_metrics|VIF) | (resident_on|platform|domid|last_boot_CPU_flags|guest_metrics|bios_strings|resident_VMs|VBDs|allowed_operations|current_operations|last_booted_record|last_boot_record): /;

/** Classes that say which hosts live. */
const OF_HOSTS = new Set(['host', 'host_metrics', 'pool', 'host_cpu', 'PBD', 'PIF', 'PIF_metrics', 'Certificate']);

/** Records that came, went or changed. */
export function differences(before: PoolState, after: PoolState, withoutHosts: boolean): readonly string[] {
  const found: string[] = [];
  for (const cls of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (withoutHosts && OF_HOSTS.has(cls)) continue;
    const [had = {}, has = {}] = [before[cls], after[cls]];
    for (const ref of new Set([...Object.keys(had), ...Object.keys(has)])) {
      const [one, other] = [had[ref], has[ref]];
      const label = textOf((one ?? other)?.name_label);
      if (one === undefined) found.push(`${cls} "${label}" came`);
      else if (other === undefined) found.push(`${cls} "${label}" went`);
      else {
        const fields = Object.keys(one).filter((field) => JSON.stringify(one[field]) !== JSON.stringify(other[field]));
        for (const field of fields) {
          found.push(
            `${cls} "${label}" ${field}: ${JSON.stringify(one[field])} -> ${JSON.stringify(other[field])}`.slice(
              0,
              200,
            ),
          );
        }
      }
    }
  }
  return found;
}

export function textOf(value: unknown): string {
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  return typeof value === 'string' ? value : JSON.stringify(value ?? '');
}

/** What is still not as it must be, and whether a reconcile had to put something right. */
export interface Aftermath {
  readonly isHealed: boolean;
  readonly problems: readonly string[];
}

/**
 * After a success: `proof` says what is wrong with the result. Of an operation that told of leftovers it is asked once
 * more after a reconcile.
 */
export async function afterSuccess(
  arena: Arena,
  proof: () => Promise<string | undefined>,
  warnings: readonly string[],
): Promise<Aftermath> {
  const proved = (): Promise<string | undefined> =>
    proof().catch((late: unknown) => `the proof failed: ${String(late)}`);
  let finding = await proved();
  const isHealed = finding !== undefined && warnings.some((code) => ['LEFTOVER', 'SETTLE_FAILED'].includes(code));
  if (isHealed) {
    await arena.reconcileLater();
    finding = await proved();
  }
  return { isHealed, problems: finding === undefined ? [] : [finding] };
}

/** After a failure: what changed must have been told of, and a reconcile must take it away. */
export async function afterFailure(
  arena: Arena,
  changes: () => readonly string[],
  isTold: boolean,
): Promise<Aftermath> {
  const changed = changes();
  if (changed.length === 0) return { isHealed: false, problems: [] };
  if (!isTold) return { isHealed: false, problems: [`left, not told: ${changed.join('; ')}`] };
  const kept = await arena.reconcileLater();
  const rest = changes();
  const problems = rest.length === 0 ? [] : [`left after reconcile: ${[...rest, ...kept].join('; ')}`];
  return { isHealed: true, problems };
}
