import { inject, injectable } from 'inversify';
import { disksOf, type Machine, type MachineDisk } from '../browser/machine.js';
import { type HostLogger } from '../contract/index.js';
import { repeatLostStep } from '../session/lost-step.js';
import { OwnObjects } from '../session/own-objects.js';
import { PoolConnection } from '../session/pool-connection.js';
import { RedactedLogger } from '../session/redact.js';
import { readRunMark, type RunIdentity } from '../session/run-marks.js';
import { NULL_REF, type RefOf } from '../xapi/xapi-records.js';
import { type DiskPlaces } from './disk-places.js';
import { machineState } from './machine-state.js';
import { StateApplier } from './state-applier.js';
import { stepsBetween } from './state-steps.js';

/** The pool reads and writes the whole disk. */
const COPY_TIMEOUT_MS = 7 * 24 * 60 * 60_000;

/**
 * Brings the disks of an imported machine to the storages that they are meant for: an import takes one storage for all.
 * Each is copied, the copy takes its place in the machine, and the first one goes. The pool copies the mark along with
 * the disk, so at every moment both say whose they are.
 */
@injectable()
export class DiskMover {
  readonly #logger: HostLogger;

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(OwnObjects) private readonly own: OwnObjects,
    @inject(StateApplier) private readonly states: StateApplier,
    @inject(RedactedLogger) logger: HostLogger,
  ) {
    this.#logger = logger.child({ part: 'restore' });
  }

  /**
   * Resolves with the machine as it is then. Whatever fails, what was made carries the run's mark.
   * @param onMove called before the first disk moves.
   */
  async move(
    machine: Machine,
    places: DiskPlaces,
    run: RunIdentity,
    onMove: () => void,
    signal: AbortSignal,
  ): Promise<Machine> {
    const moves = disksOf(machine).flatMap((disk) => {
      const to = places.byPosition.get(disk.record.userdevice);
      return to === undefined || to.ref === disk.medium.record.SR ? [] : [{ disk, to }];
    });
    if (moves.length === 0) return machine;
    onMove();
    let current = machine;
    for (const { disk, to } of moves) {
      this.#logger.info(`copying disk ${disk.record.userdevice} to its storage`, { storage: to.record.uuid });
      const copy = await this.#copy(current, disk, to.ref, run, signal);
      current = await this.#swap(current, disk, copy, signal);
      await this.own.destroyDisk(disk.medium.ref);
    }
    return current;
  }

  /** UUID of the copy. To mark it anew would mean to unmark it first. */
  async #copy(
    machine: Machine,
    { medium }: MachineDisk,
    to: RefOf<'SR'>,
    run: RunIdentity,
    signal: AbortSignal,
  ): Promise<string> {
    const args = [medium.ref, to, NULL_REF, NULL_REF];
    const kept = new Set([machine.record.suspend_VDI, ...disksOf(machine).map((disk) => disk.medium.ref)]);
    const undo = (): Promise<void> => this.own.destroyImportedDisks(run.runId, kept);
    const copy = (await repeatLostStep(this.pool, { signal, undo }, () =>
      this.pool.callTask('VDI.copy', args, { signal, timeoutMs: COPY_TIMEOUT_MS }),
    )) as RefOf<'VDI'>;
    const { uuid, other_config: config } = await this.pool.record('VDI', copy, { signal });
    if (readRunMark(config)?.run !== run.runId) await this.own.mark('VDI', copy, run, 'import', signal);
    return uuid;
  }

  async #swap(machine: Machine, disk: MachineDisk, mediumUuid: string, signal: AbortSignal): Promise<Machine> {
    const now = machineState(machine);
    const devices = now.devices.map((device) =>
      device.position === disk.record.userdevice ? { ...device, mediumUuid } : device,
    );
    await this.states.apply(machine, stepsBetween(now, { ...now, devices }), signal);
    return await this.states.load(machine.ref, signal);
  }
}
