import { type MethodTable } from '../rpc/method.js';
import { destroyVmMethods } from './destroy-vm.js';
import { sessionMethods, taskMethods } from './session-methods.js';
import { snapshotMethods } from './snapshot-vm.js';

/** Every call whose behaviour is written by hand. */
export const METHODS: MethodTable = {
  ...sessionMethods,
  ...taskMethods,
  ...snapshotMethods,
  ...destroyVmMethods,
};
