import { inject, injectable } from 'inversify';
import { loadMachine, type Machine } from '../browser/machine.js';
import { BackupError } from '../contract/index.js';
import { PoolConnection } from '../session/pool-connection.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { NULL_REF, type RefOf } from '../xapi/xapi-records.js';
import { type DeviceState, type InterfaceState, machineState, type MachineState } from './machine-state.js';
import { type StateStep, stepsBetween } from './state-steps.js';

/**
 * Changes a machine in the pool step by step. Each step may be asked for once more, as it is when its answer was lost with
 * the coordinator: what is there as wanted already is fine.
 */
@injectable()
export class StateApplier {
  constructor(@inject(PoolConnection) private readonly pool: PoolConnection) {}

  async load(ref: RefOf<'VM'>, signal?: AbortSignal): Promise<Machine> {
    const options = signal === undefined ? {} : { signal };
    return await loadMachine(this.pool, { ref, record: await this.pool.record('VM', ref, options) }, options);
  }

  /**
   * Brings a machine to a state, whatever state it is in now, and looks whether it got there. Disks and interfaces must
   * be right; a field that the pool keeps in its own way is only reported.
   * @returns the fields that did not take.
   * @throws {BackupError} RESTORE_FAILED when disks or interfaces are not as wanted.
   */
  async bringTo(ref: RefOf<'VM'>, wanted: MachineState, signal?: AbortSignal): Promise<readonly string[]> {
    const machine = await this.load(ref, signal);
    const steps = stepsBetween(machineState(machine), wanted);
    if (steps.length === 0) return [];
    await this.apply(machine, steps, signal);
    const left = stepsBetween(machineState(await this.load(ref, signal)), wanted);
    if (left.every(({ action }) => action === 'call')) return left.map(describe);
    throw new BackupError('RESTORE_FAILED', `The machine "${machine.record.name_label}" did not take all changes.`, {
      hint: 'Somebody else may be changing it at this moment. Try again.',
      context: { left: left.map(describe) },
    });
  }

  /** @param machine as it is before the first step. */
  async apply(machine: Machine, steps: readonly StateStep[], signal?: AbortSignal): Promise<void> {
    for (const step of steps) {
      signal?.throwIfAborted();
      await this.#apply(machine, step);
    }
  }

  async #apply(machine: Machine, step: StateStep): Promise<void> {
    switch (step.action) {
      case 'remove-device': {
        const device = machine.devices.find(({ record }) => record.userdevice === step.position);
        if (device !== undefined) await this.removeDevice(device.ref);
        return;
      }
      case 'add-device':
        await this.#addDevice(machine.ref, step.device);
        return;
      case 'remove-interface': {
        const found = machine.interfaces.find(({ record }) => record.device === step.position);
        if (found !== undefined) await this.#destroy('VIF', found.ref);
        return;
      }
      case 'add-interface':
        await this.#addInterface(machine.ref, step.networkInterface);
        return;
      case 'call':
        await this.#call(machine.ref, step);
    }
  }

  /** Takes a drive from its machine; what was in it stays. */
  async removeDevice(ref: RefOf<'VBD'>): Promise<void> {
    await this.#destroy('VBD', ref);
  }

  /** Puts a new key into a machine's `other_config`. */
  async addKey(ref: RefOf<'VM'>, key: string, value: string): Promise<void> {
    const isThere = async (): Promise<boolean> => (await this.pool.record('VM', ref)).other_config[key] === value;
    await this.#make('VM.add_to_other_config', [ref, key, value], 'MAP_DUPLICATE_KEY', isThere);
  }

  async #call(ref: RefOf<'VM'>, { method, args }: Extract<StateStep, { action: 'call' }>): Promise<void> {
    if (method === 'VM.add_to_other_config') await this.addKey(ref, String(args[0]), String(args[1]));
    else await this.pool.call(method, [ref, ...args], { isIdempotent: true });
  }

  async #destroy(cls: 'VBD' | 'VIF', ref: string): Promise<void> {
    try {
      await this.pool.call(`${cls}.destroy`, [ref], { isIdempotent: true });
    } catch (error) {
      if (!isXapiError(error, 'HANDLE_INVALID')) throw error;
    }
  }

  /** @param refusal what the pool says when there is one already; then `isThere` tells whether it is the one wanted. */
  async #make(
    method: string,
    args: readonly unknown[],
    refusal: string,
    isThere: () => Promise<boolean>,
  ): Promise<void> {
    try {
      await this.pool.call(method, args, { isIdempotent: true });
    } catch (error) {
      if (!isXapiError(error, refusal) || !(await isThere())) throw error;
    }
  }

  async #addDevice(machine: RefOf<'VM'>, device: DeviceState): Promise<void> {
    const isEmpty = device.mediumUuid === '';
    const medium = isEmpty ? NULL_REF : await this.pool.call<string>('VDI.get_by_uuid', [device.mediumUuid]);
    const record = {
      VM: machine,
      VDI: medium,
      userdevice: device.position,
      bootable: device.isBootable,
      mode: device.mode,
      type: device.type,
      unpluggable: device.isUnpluggable,
      empty: isEmpty,
      other_config: device.otherConfig,
      qos_algorithm_type: device.qosType,
      qos_algorithm_params: device.qosParams,
    };
    await this.#make('VBD.create', [record], 'DEVICE_ALREADY_EXISTS', async () =>
      machineState(await this.load(machine)).devices.some(
        ({ position, mediumUuid }) => position === device.position && mediumUuid === device.mediumUuid,
      ),
    );
  }

  async #addInterface(machine: RefOf<'VM'>, wanted: InterfaceState): Promise<void> {
    const record = {
      VM: machine,
      network: wanted.network,
      device: wanted.position,
      MAC: wanted.mac,
      MTU: wanted.mtu,
      other_config: wanted.otherConfig,
      locking_mode: wanted.lockingMode,
      ipv4_allowed: wanted.ipv4Allowed,
      ipv6_allowed: wanted.ipv6Allowed,
      qos_algorithm_type: wanted.qosType,
      qos_algorithm_params: wanted.qosParams,
    };
    await this.#make('VIF.create', [record], 'DEVICE_ALREADY_EXISTS', async () =>
      machineState(await this.load(machine)).interfaces.some(
        ({ position, network, mac }) =>
          position === wanted.position && network === wanted.network && (wanted.mac === '' || mac === wanted.mac),
      ),
    );
  }
}

function describe(step: StateStep): string {
  return step.action === 'call' ? step.method.replace('VM.set_', '') : step.action;
}
