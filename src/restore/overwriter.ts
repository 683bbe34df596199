import { inject, injectable } from 'inversify';
import { disksOf, type Machine } from '../browser/machine.js';
import { type CleanupStack } from '../common/cleanup-stack.js';
import { Clock } from '../common/clock.js';
import { BackupError } from '../contract/index.js';
import { OwnObjects } from '../session/own-objects.js';
import { PoolConnection } from '../session/pool-connection.js';
import { LEASE_MS, type RunIdentity } from '../session/run-marks.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { type RefOf } from '../xapi/xapi-records.js';
import { JOURNAL_DONE_KEY, JOURNAL_KEY, machineState, type MachineState } from './machine-state.js';
import { type InterruptedOverwrite, type OverwriteJournal } from './overwrite-journal.js';
import { StateApplier } from './state-applier.js';
import { stepsBetween } from './state-steps.js';

export interface OverwriteOrder {
  readonly existing: RefOf<'VM'>;
  readonly imported: Machine;
  /** What the existing machine is to become, with the imported machine's disks. */
  readonly wanted: MachineState;
  readonly run: RunIdentity;
  readonly onSwapped: () => void;
  readonly signal: AbortSignal;
}

/**
 * Moves the disks and the configuration of an imported machine into an existing one. The existing record is never
 * destroyed; its old disks go last.
 *
 * ```
 * journal ─▶ swap, configure ─▶ look ─▶ done ─▶ emptied record, marks, old disks ─▶ journal
 *    └──────── undo: back to the state in the journal ────────┘ └────── forward only ──────┘
 * ```
 *
 * The undo is one: "bring the machine to the state that it had". It looks at what is there, so it works after a step
 * that failed, after a step of which nobody knows whether it was done, and in another process after a crash.
 */
@injectable()
export class Overwriter {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(OwnObjects) private readonly own: OwnObjects,
    @inject(StateApplier) private readonly states: StateApplier,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  /**
   * Resolves once the machine is wholly new; what then is still to be removed is in the result.
   * @returns the overwrite as its journal describes it, and the fields that the pool did not take.
   */
  async overwrite(
    order: OverwriteOrder,
    cleanup: CleanupStack,
  ): Promise<InterruptedOverwrite & { readonly left: readonly string[] }> {
    const { existing: ref, signal } = order;
    const existing = await this.states.load(ref, signal);
    if (existing.record.power_state !== 'Halted') {
      throw new BackupError('TARGET_RUNNING', `The machine "${existing.record.name_label}" was started meanwhile.`, {
        hint: 'Shut it down and restore again.',
      });
    }
    const journal = await this.#journalOf(order, existing);
    const forget = cleanup.add(`old state of "${existing.record.name_label}"`, () =>
      this.rollBack({ ref, journal, isDone: false }),
    );
    await this.#put(ref, JOURNAL_KEY, JSON.stringify(journal));
    await this.#release(order.imported);
    const steps = stepsBetween(journal.before, order.wanted);
    const isDisk = ({ action }: { readonly action: string }): boolean => action.endsWith('-device');
    await this.states.apply(existing, steps.filter(isDisk), signal);
    order.onSwapped();
    await this.states.apply(
      existing,
      steps.filter((step) => !isDisk(step)),
      signal,
    );
    const left = await this.states.bringTo(ref, order.wanted, signal);
    signal.throwIfAborted();
    await this.#commit(ref);
    forget();
    return { ref, journal, isDone: true, left };
  }

  /** Wholly old: the machine has what it had. What was imported beside it is left to whoever removes imports. */
  async rollBack({ ref, journal }: InterruptedOverwrite): Promise<void> {
    await this.#drop(ref, JOURNAL_DONE_KEY);
    await this.states.bringTo(ref, journal.before);
    await this.#drop(ref, JOURNAL_KEY);
  }

  /**
   * Wholly new: the emptied record goes, then the marks of the disks that have moved, the old disks last. The journal
   * goes only when all of that is done, so it can be repeated.
   */
  async finish({ ref, journal }: InterruptedOverwrite): Promise<void> {
    const emptied = await this.#find('VM', journal.imported);
    if (emptied !== undefined) await this.own.destroyRecord(emptied as RefOf<'VM'>);
    for (const uuid of journal.newDisks) {
      const disk = await this.#find('VDI', uuid);
      if (disk !== undefined) await this.own.unmark('VDI', disk);
    }
    for (const uuid of journal.oldDisks) {
      const disk = await this.#find('VDI', uuid);
      if (disk !== undefined) await this.own.destroyDisk(disk as RefOf<'VDI'>);
    }
    // In this order: a journal without the word "done" would call for the old state.
    await this.#drop(ref, JOURNAL_KEY);
    await this.#drop(ref, JOURNAL_DONE_KEY);
  }

  async #journalOf({ imported, wanted, run }: OverwriteOrder, existing: Machine): Promise<OverwriteJournal> {
    const own = new Set(await this.own.ownDisks(existing.record));
    const kept = new Set(wanted.devices.map(({ mediumUuid }) => mediumUuid));
    return {
      version: 1,
      run: run.runId,
      host: run.hostId,
      sinceMs: run.startedAtMs,
      aliveUntilMs: this.clock.nowMs() + LEASE_MS,
      machine: existing.record.uuid,
      imported: imported.record.uuid,
      before: machineState(existing),
      oldDisks: disksOf(existing)
        .filter(({ medium }) => own.has(medium.ref) && !kept.has(medium.record.uuid))
        .map(({ medium }) => medium.record.uuid),
      newDisks: disksOf(imported).map(({ medium }) => medium.record.uuid),
    };
  }

  /** The imported machine lets go of its disks. */
  async #release(imported: Machine): Promise<void> {
    for (const { ref } of disksOf(imported)) await this.states.removeDevice(ref);
  }

  /**
   * The word "done". A lost answer leaves us not knowing whether it was written, and the undo must not run over it:
   * so it is asked for again until it is known.
   */
  async #commit(ref: RefOf<'VM'>): Promise<void> {
    try {
      await this.#put(ref, JOURNAL_DONE_KEY, 'true');
    } catch (error) {
      const { other_config: now } = await this.pool.record('VM', ref);
      if (now[JOURNAL_DONE_KEY] === undefined) throw error;
    }
  }

  async #put(ref: RefOf<'VM'>, key: string, value: string): Promise<void> {
    await this.#drop(ref, key);
    await this.states.addKey(ref, key, value);
  }

  async #drop(ref: RefOf<'VM'>, key: string): Promise<void> {
    await this.pool.call('VM.remove_from_other_config', [ref, key], { isIdempotent: true });
  }

  async #find(cls: 'VM' | 'VDI', uuid: string): Promise<string | undefined> {
    try {
      return await this.pool.call<string>(`${cls}.get_by_uuid`, [uuid]);
    } catch (error) {
      if (isXapiError(error, 'UUID_INVALID')) return undefined;
      throw error;
    }
  }
}
