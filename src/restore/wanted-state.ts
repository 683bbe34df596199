import { type Machine } from '../browser/machine.js';
import { type InterfaceState, machineState, type MachineState } from './machine-state.js';
import { type MachineRestorePlan } from './restore-plan.js';

/**
 * The interfaces that the restored machine is to have: those that the import has made, in the networks of the backup
 * where the pool has them, with the backup's MAC addresses if they are to be kept.
 */
export function wantedInterfaces(imported: Machine, plan: MachineRestorePlan): readonly InterfaceState[] {
  const { details, macs } = plan.wish;
  return machineState(imported).interfaces.map((made) => {
    const saved = details.interfaces.find(({ position }) => position === made.position);
    return {
      ...made,
      network: plan.networks.get(made.position) ?? made.network,
      mac: macs === 'keep' && saved !== undefined ? saved.mac.toLowerCase() : made.mac,
    };
  });
}

/** What an existing machine is to become: the imported one, under the name that it was saved with. */
export function wantedState(imported: Machine, plan: MachineRestorePlan): MachineState {
  const state = machineState(imported);
  const { machine } = plan.wish.details;
  return {
    ...state,
    fields: { ...state.fields, name_label: machine.name, blocked_operations: machine.keptFields.blocked_operations },
    interfaces: [...wantedInterfaces(imported, plan)],
  };
}
