import { type CallContext, type MethodTable } from '../rpc/method.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { numberOf, setOf, textOf } from '../wire/wire-value.js';
import { shutDown, startVm } from './vm-power.js';

/** vApps: several VMs that start in their order and stop in the opposite one. */
export const applianceMethods: MethodTable = {
  'VM_appliance.start': async (context, args) => {
    for (const vm of inState(context.pool, args.text(0), 'Halted')) {
      await startVm(context, vm, undefined, args.flag(1));
    }
    return undefined;
  },
  'VM_appliance.clean_shutdown': (context, args) => stop(context, args.text(0), 'clean_shutdown'),
  'VM_appliance.hard_shutdown': (context, args) => stop(context, args.text(0), 'hard_shutdown'),
  'VM_appliance.shutdown': (context, args) => stop(context, args.text(0), 'hard_shutdown'),
};

async function stop(context: CallContext, appliance: string, operation: string): Promise<undefined> {
  for (const vm of [...inState(context.pool, appliance, 'Running')].reverse()) await shutDown(context, vm, operation);
  return undefined;
}

function inState(pool: SimulatedPool, appliance: string, state: string): readonly string[] {
  const order = (vm: string): number => numberOf(pool.store.get('VM', vm), 'order');
  return setOf(pool.store.get('VM_appliance', appliance), 'VMs')
    .filter((vm) => textOf(pool.store.get('VM', vm), 'power_state') === state)
    .sort((a, b) => order(a) - order(b));
}
