import { inject, injectable } from 'inversify';
import { disksOf, type Machine } from '../browser/machine.js';
import { type CleanupStack } from '../common/cleanup-stack.js';
import { Clock } from '../common/clock.js';
import { BackupError, type RestoreMedia } from '../contract/index.js';
import { type XvaArchive } from '../format/ova-xml.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { repeatLostStep } from '../session/lost-step.js';
import { OwnObjects } from '../session/own-objects.js';
import { PoolConnection } from '../session/pool-connection.js';
import { runMark, type RunIdentity } from '../session/run-marks.js';
import { runProcess } from '../session/run-process.js';
import { type ProgressMeter } from '../transfer/progress-meter.js';
import { LentPieces } from '../transfer/lent-pieces.js';
import { type VerifiedArchive } from '../transfer/verified-archive.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { isNullRef, type RefOf } from '../xapi/xapi-records.js';
import { editArchive } from './archive-edit.js';
import { type RestoreWish } from './restore-options.js';
import { DiskMover } from './disk-mover.js';
import { openMachineArchive } from './machine-archive.js';
import { type MachineRestorePlan } from './restore-plan.js';
import { StateApplier } from './state-applier.js';

/** After a broken import the pool takes away what it had made; it gets a moment before we look ourselves. */
const POOL_CLEANUP_WAIT_MS = 10_000;

export interface ImportOrder {
  readonly plan: MachineRestorePlan;
  readonly run: RunIdentity;
  /** Name of the machine that the import makes. */
  readonly name: string;
  readonly media: RestoreMedia;
  readonly meter: ProgressMeter;
  readonly signal: AbortSignal;
}

/** What an import has made. */
export interface Imported {
  readonly machine: Machine;
  /** What the archive said of it, before the pool made something of that. */
  readonly archive: XvaArchive;
  /** From now on the machine stays, whatever becomes of the rest. */
  readonly keep: () => void;
}

/** Brings a stored archive into the pool as a machine that carries our marks, checked on the way and afterwards. */
@injectable()
export class MachineImporter {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(OwnObjects) private readonly own: OwnObjects,
    @inject(StateApplier) private readonly states: StateApplier,
    @inject(DiskMover) private readonly mover: DiskMover,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  /** The removal of all that is made is on `cleanup` until `keep` is called. */
  async import(
    order: ImportOrder,
    cleanup: CleanupStack,
    enter: (phase: 'verify' | 'place') => void,
  ): Promise<Imported> {
    const made: { ref?: RefOf<'VM'>; disks?: readonly RefOf<'VDI'>[] | undefined } = {};
    const forget = cleanup.add(`imported machine "${order.name}"`, async () => {
      if (made.ref !== undefined) await this.own.destroyMachine(made.ref, made.disks);
      await this.own.destroyImported(order.run.runId);
    });
    const alive = new AbortController();
    cleanup.add('lease of the import', () => {
      alive.abort();
    });
    void this.own.keepImportAlive(order.name, order.run, alive.signal);
    const undo = (): Promise<void> => this.own.destroyImported(order.run.runId);
    const sent = await repeatLostStep(this.pool, { signal: order.signal, undo }, () => this.#send(order, cleanup));
    made.ref = sent.ref;
    enter('verify');
    const first = await this.states.load(sent.ref, order.signal);
    made.disks = allDisksOf(first);
    assertComplete(first, order.plan.wish);
    const onMove = (): void => {
      // From here on a disk that is copied is told by its mark only.
      made.disks = undefined;
      enter('place');
    };
    const machine = await this.mover.move(first, order.plan.places, order.run, onMove, order.signal);
    made.disks = allDisksOf(machine);
    return { machine, archive: sent.archive, keep: forget };
  }

  async #send(order: ImportOrder, cleanup: CleanupStack): Promise<{ ref: RefOf<'VM'>; archive: XvaArchive }> {
    const lent = new LentPieces();
    const { archive, complete } = await openMachineArchive({
      ...order,
      item: order.plan.wish.item,
      title: order.name,
      disks: order.plan.wish.disks,
      edit: (records) => {
        editArchive(records, this.#editOf(order));
      },
      clock: this.clock,
      idleTimeoutMs: this.settings.idleTimeoutMs,
      lent,
    });
    cleanup.add('archive', () => archive.stream.destroy());
    // An error before anybody reads it reaches us through the promises.
    archive.stream.on('error', () => undefined);
    const result = await this.#upload(order, archive, lent, cleanup);
    await archive.summary;
    complete();
    return { ref: onlyMachine(result), archive: await archive.archive };
  }

  #editOf({ plan, run, name }: ImportOrder): Parameters<typeof editArchive>[1] {
    const { details } = plan.wish;
    return {
      name,
      mark: runMark({ process: runProcess(), ...run }, 'import', this.clock.nowMs()),
      details,
      drops: plan.wish.drops,
      networkNames: plan.networkNames,
      leftOut: new Set(plan.wish.leftOut.map(({ position }) => position)),
      ...(plan.target.way === 'revive' ? { machineUuid: details.machine.uuid } : {}),
    };
  }

  async #upload(
    order: ImportOrder,
    archive: VerifiedArchive,
    lent: LentPieces,
    cleanup: CleanupStack,
  ): Promise<string> {
    const { plan, name, signal } = order;
    const bytes = await archive.bytes;
    const task = await this.pool.createTask('xen-backup import', name, signal);
    cleanup.add('task of the import', () => task.release());
    const query = { sr_id: plan.places.importTo.ref, ...(plan.target.way === 'revive' ? { restore: 'true' } : {}) };
    const { forceHttps } = plan.wish;
    const onLeft = (left: number): void => {
      lent.left(left);
    };
    try {
      const target = { path: '/import', query, task, signal, forceHttps };
      return await this.pool.upload({ ...target, body: archive.stream, bytes, onLeft });
    } catch (error) {
      if (!isXapiError(error) && archive.stream.readableDidRead) await task.settled(POOL_CLEANUP_WAIT_MS);
      throw error;
    }
  }
}

/** The result of an import is a set of references in XML-RPC text (facts 4.4). */
function onlyMachine(result: string): RefOf<'VM'> {
  const refs = result.match(/OpaqueRef:[0-9a-zA-Z-]+/g) ?? [];
  const [ref, second] = refs;
  if (ref !== undefined && second === undefined) return ref as RefOf<'VM'>;
  throw new BackupError(
    'RESTORE_FAILED',
    `The pool says that it made ${refs.length} machines of the backup instead of one.`,
    {
      hint: 'Look at the log of the pool.',
    },
  );
}

/** The disks of a machine and the image of its memory. */
export function allDisksOf(machine: Machine): readonly RefOf<'VDI'>[] {
  const { suspend_VDI: memory } = machine.record;
  return [...disksOf(machine).map(({ medium }) => medium.ref), ...(isNullRef(memory) ? [] : [memory])];
}

/** @throws {BackupError} RESTORE_FAILED when disks, interfaces, memory or TPM are missing or of another size. */
function assertComplete(machine: Machine, { details, disks, hasMemory }: RestoreWish): void {
  const found = disksOf(machine).map(
    ({ record, medium }) => `${record.userdevice}: ${medium.record.virtual_size} bytes`,
  );
  const expected = disks.map(({ position, sizeBytes }) => `${position}: ${sizeBytes} bytes`);
  const foundInterfaces = machine.interfaces.map(({ record }) => `interface ${record.device}`);
  const expectedInterfaces = details.interfaces.map(({ position }) => `interface ${position}`);
  const foundRest = [machine.record.power_state.toLowerCase(), `${machine.record.VTPMs.length} TPMs`];
  const { tpms = machine.record.VTPMs.length } = details.configuration ?? {};
  const expectedRest = [hasMemory ? 'suspended' : 'halted', `${tpms} TPMs`];
  const all = {
    found: [...found, ...foundInterfaces, ...foundRest].sort(),
    expected: [...expected, ...expectedInterfaces, ...expectedRest].sort(),
  };
  if (all.found.join() === all.expected.join()) return;
  throw new BackupError('RESTORE_FAILED', 'The pool has not made all of the machine that the backup has.', {
    hint: 'Look at the log of the pool.',
    context: all,
  });
}
