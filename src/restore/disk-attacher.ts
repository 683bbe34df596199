import { inject, injectable } from 'inversify';
import { type CleanupStack } from '../common/cleanup-stack.js';
import { repeatLostStep } from '../session/lost-step.js';
import { PoolConnection } from '../session/pool-connection.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { type RefOf } from '../xapi/xapi-records.js';
import { type DiskHolder } from './disk-restore-plan.js';

const PLUG_TIMEOUT_MS = 10 * 60_000;

export interface Attachment {
  readonly position: string;
  /** Why a machine that runs does not see it yet; undefined when it does, or when it does not run. */
  readonly whyNotPlugged: string | undefined;
  /** From now on it stays attached, whatever becomes of the rest. */
  readonly keep: () => void;
}

/** Gives a disk to a machine that exists. */
@injectable()
export class DiskAttacher {
  constructor(@inject(PoolConnection) private readonly pool: PoolConnection) {}

  /** In the first place that is free when the pool looks. A disk that can't be plugged in now is attached all the same. */
  async attach(
    disk: RefOf<'VDI'>,
    holder: DiskHolder,
    mode: 'RO' | 'RW',
    cleanup: CleanupStack,
    signal: AbortSignal,
  ): Promise<Attachment> {
    const record = {
      VM: holder.ref,
      VDI: disk,
      userdevice: 'autodetect',
      bootable: false,
      mode,
      type: 'Disk',
      unpluggable: true,
      empty: false,
      other_config: {},
      qos_algorithm_type: '',
      qos_algorithm_params: {},
    };
    const undo = (): Promise<void> => this.#detachFrom(holder, disk);
    // Before it is there: the answer may get lost.
    const forget = cleanup.add(`place of the disk in "${holder.record.name_label}"`, undo);
    const drive = await repeatLostStep(this.pool, { signal, undo }, () =>
      this.pool.call<RefOf<'VBD'>>('VBD.create', [record], { signal }),
    );
    const { userdevice: position } = await this.pool.record('VBD', drive, { signal });
    const { power_state: state } = await this.pool.record('VM', holder.ref, { signal });
    const whyNotPlugged = state === 'Running' ? await this.#plug(drive, signal) : undefined;
    return { position, whyNotPlugged, keep: forget };
  }

  /** What the pool says against it. */
  async #plug(drive: RefOf<'VBD'>, signal: AbortSignal): Promise<string | undefined> {
    try {
      await repeatLostStep(this.pool, { signal }, () =>
        this.pool.callTask('VBD.plug', [drive], { signal, timeoutMs: PLUG_TIMEOUT_MS }),
      );
      return undefined;
    } catch (error) {
      if (isXapiError(error, 'DEVICE_ALREADY_ATTACHED')) return undefined;
      if (isXapiError(error)) return error.message;
      throw error;
    }
  }

  /** A disk that we have made ourselves has no drive in the machine but ours. */
  async #detachFrom(holder: DiskHolder, disk: RefOf<'VDI'>): Promise<void> {
    const drives = await this.#drivesOf(disk);
    const records = await this.pool.records(drives.map((ref) => ({ cls: 'VBD', ref }) as const));
    for (const drive of drives) if (records.get(drive)?.VM === holder.ref) await this.#detach(drive);
  }

  async #drivesOf(disk: RefOf<'VDI'>): Promise<readonly RefOf<'VBD'>[]> {
    try {
      return (await this.pool.record('VDI', disk)).VBDs;
    } catch (error) {
      if (isXapiError(error, 'HANDLE_INVALID')) return [];
      throw error;
    }
  }

  async #detach(drive: RefOf<'VBD'>): Promise<void> {
    try {
      const { currently_attached: isPlugged } = await this.pool.record('VBD', drive);
      if (isPlugged) await this.pool.callTask('VBD.unplug', [drive], { timeoutMs: PLUG_TIMEOUT_MS });
      await this.pool.call('VBD.destroy', [drive], { isIdempotent: true });
    } catch (error) {
      if (!isXapiError(error, 'HANDLE_INVALID')) throw error;
    }
  }
}
