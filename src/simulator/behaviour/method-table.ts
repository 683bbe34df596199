import { type MethodTable } from '../rpc/method.js';
import { applianceMethods } from './appliance-methods.js';
import { changedBlockMethods } from './changed-blocks.js';
import { checkpointMethods } from './checkpoint-vm.js';
import { destroyVmMethods } from './destroy-vm.js';
import { emergencyMethods } from './emergency-methods.js';
import { sessionMethods, taskMethods } from './session-methods.js';
import { nbdMethods } from './nbd-methods.js';
import { pbdMethods } from './pbd-methods.js';
import { poolMethods } from './pool-methods.js';
import { revertMethods } from './revert-vm.js';
import { snapshotMethods } from './snapshot-vm.js';
import { vbdMethods } from './vbd-methods.js';
import { vdiMethods } from './vdi-methods.js';
import { vifMethods } from './vif-methods.js';
import { vmMethods } from './vm-methods.js';
import { vmPowerMethods } from './vm-power.js';
import { vtpmMethods } from './vtpm-methods.js';

/** Every call whose behaviour is written by hand. */
export const METHODS: MethodTable = {
  ...sessionMethods,
  ...taskMethods,
  ...snapshotMethods,
  ...revertMethods,
  ...checkpointMethods,
  ...destroyVmMethods,
  ...vmMethods,
  ...vmPowerMethods,
  ...applianceMethods,
  ...vtpmMethods,
  ...vbdMethods,
  ...vifMethods,
  ...vdiMethods,
  ...changedBlockMethods,
  ...nbdMethods,
  ...poolMethods,
  ...pbdMethods,
  ...emergencyMethods,
};
