import { setOf, textOf, type XapiRecord } from '../../../src/simulator/wire/wire-value.js';
import { type CapturedStep } from './captured-fixtures.js';
import { type CapturedWorld } from './captured-world.js';
import { type Comparison } from './comparison.js';

/** The machine that a note is about, as the capture calls it. */
const MACHINES: Readonly<Record<string, string>> = {
  before: 'OpaqueRef:2e6b914c-e7c3-d4ee-2735-c7b3987c9faf',
  'A: back from metadata': 'OpaqueRef:efc7a149-dfb5-4b24-d5e9-9497695728eb',
  'B: restored in the gap': 'OpaqueRef:0ff597b3-738e-276c-3c8c-b68a61659685',
  'C: swapped': 'OpaqueRef:0ff597b3-738e-276c-3c8c-b68a61659685',
  D: 'OpaqueRef:0ff597b3-738e-276c-3c8c-b68a61659685',
};
const SNAPSHOT = 'OpaqueRef:aefe5a25-b109-1509-40d1-1da3037297ee';
/** Where an export is stopped, so that it can be cancelled in the middle. */
const STALL_AT_BYTE = 100_000;

/** Steps of the overwriting flow that are no single request. */
export class OverwriteFacts {
  readonly #world: CapturedWorld;
  readonly #comparison: Comparison;
  #isCancelling = false;

  constructor(world: CapturedWorld, comparison: Comparison) {
    this.#world = world;
    this.#comparison = comparison;
  }

  /** True when the step was such a one, and has been compared. */
  async check(step: CapturedStep): Promise<boolean> {
    const { note } = step;
    const { binding } = this.#comparison;
    const machine = MACHINES[note];
    if (machine !== undefined) {
      const captured = Object.fromEntries(Object.entries(step).filter(([name]) => name !== 'note'));
      const own = this.#factsOf(binding.translate(machine));
      const part = Object.entries(own).filter(([name]) => name in captured);
      this.#comparison.compare(
        `overwrite: ${note}`,
        captured,
        Object.fromEntries([...part, ...('same_ref' in captured ? [['same_ref', this.#isSameRef()] as const] : [])]),
      );
      return true;
    }
    if (note === 'snapshot_of') {
      const { store } = this.#world.pool.pool;
      const own = textOf(store.get('VM', binding.translate(SNAPSHOT)), 'snapshot_of');
      this.#comparison.compare(`overwrite: ${note}`, step.snapshot_of, own);
      return true;
    }
    if (note === 'cancel export') {
      await this.#startExport(String(step.params?.[1]));
      this.#isCancelling = true;
      return false;
    }
    if (note === 'task after cancelled export' && this.#isCancelling) {
      const { client } = this.#world;
      const own = await client.taskEnd(binding.translate(this.#task));
      this.#comparison.compare(`overwrite: ${note}: task`, step.task, own);
      return true;
    }
    return false;
  }

  #task = '';

  /** An export that does not get on, for the next step to cancel. */
  async #startExport(captured: string): Promise<void> {
    const { client, pool } = this.#world;
    this.#task = captured;
    const task = await client.call<string>('task.create', 'x', '');
    this.#comparison.binding.set(captured, task);
    pool.addFault({ match: { path: '/export' }, occurrence: 1, action: { stall: true, atByte: STALL_AT_BYTE } });
    const vm = this.#comparison.binding.translate(MACHINES.D ?? '');
    const response = await fetch(`${pool.httpUrl}/export?session_id=${client.session}&ref=${vm}&task_id=${task}`);
    void response.arrayBuffer().catch(() => undefined);
  }

  #factsOf(ref: string): Readonly<Record<string, unknown>> {
    const { store } = this.#world.pool.pool;
    const record: XapiRecord = store.get('VM', ref);
    const disks = setOf(record, 'VBDs').map((vbd) => {
      const device = store.get('VBD', vbd);
      return [textOf(device, 'userdevice'), textOf(store.get('VDI', textOf(device, 'VDI')), 'uuid')];
    });
    return {
      uuid: record.uuid,
      disks,
      macs: setOf(record, 'VIFs').map((vif) => textOf(store.get('VIF', vif), 'MAC')),
      snapshots: setOf(record, 'snapshots').length,
      version: record.version,
    };
  }

  #isSameRef(): boolean {
    const { binding } = this.#comparison;
    return binding.translate(MACHINES.before ?? '') === binding.translate(MACHINES['A: back from metadata'] ?? '');
  }
}
