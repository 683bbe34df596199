import { type Method, type MethodTable } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, NULL_REF, setOf, textOf } from '../wire/wire-value.js';
import { fieldsForCreate } from './constructor.js';
import { deviceName, freeDiskDevices } from './devices.js';
import { openLog } from './change-logs.js';
import { destroyVbd } from './disks.js';
import { assertHasData } from './vdi-methods.js';

/** Detaches from a running VM. */
const unplug: Method = ({ pool }, args) => {
  const vbd = args.text(0);
  const record = pool.store.get('VBD', vbd);
  assertRunning(pool, textOf(record, 'VM'));
  if (!flagOf(record, 'currently_attached')) throw new SimulatedFailure('DEVICE_ALREADY_DETACHED', [vbd]);
  pool.store.patch('VBD', vbd, { currently_attached: false });
  return undefined;
};

export const vbdMethods: MethodTable = {
  'VBD.create': ({ pool }, args) => {
    const fields = fieldsForCreate(pool, 'VBD', args.map(0));
    const vm = textOf(fields, 'VM');
    pool.store.get('VM', vm);
    const isEmpty = fields.empty === true;
    const isDisk = textOf(fields, 'type') === 'Disk';
    const vdi = isEmpty ? NULL_REF : textOf(fields, 'VDI');
    if (isEmpty && isDisk) throw new SimulatedFailure('VBD_MISSING', [vm, textOf(fields, 'userdevice')]);
    if (!isEmpty) assertDiskFits(pool, vdi, isDisk, textOf(fields, 'mode'));
    const wanted = textOf(fields, 'userdevice');
    const free = freeDiskDevices(pool, vm);
    if (wanted !== 'autodetect' && !/^\d+$/.test(wanted)) throw new SimulatedFailure('INVALID_DEVICE', [wanted]);
    if (wanted !== 'autodetect' && !free.includes(wanted))
      throw new SimulatedFailure('DEVICE_ALREADY_EXISTS', [wanted]);
    return pool.store.create('VBD', {
      ...fields,
      VDI: vdi,
      userdevice: wanted === 'autodetect' ? (free[0] ?? '0') : wanted,
      unpluggable: isDisk,
      currently_attached: false,
      metrics: pool.store.create('VBD_metrics'),
    });
  },
  'VBD.destroy': ({ pool }, args) => {
    const vbd = args.text(0);
    if (flagOf(pool.store.get('VBD', vbd), 'currently_attached')) {
      throw new SimulatedFailure('OPERATION_NOT_ALLOWED', [`VBD '${vbd}' still attached to '${ownerOf(pool, vbd)}'`]);
    }
    destroyVbd(pool, vbd);
    return undefined;
  },
  'VBD.plug': ({ pool }, args) => {
    const vbd = args.text(0);
    const record = pool.store.get('VBD', vbd);
    assertRunning(pool, textOf(record, 'VM'));
    if (flagOf(record, 'currently_attached')) throw new SimulatedFailure('DEVICE_ALREADY_ATTACHED', [vbd]);
    assertNotTaken(pool, vbd);
    if (textOf(record, 'mode') === 'RW') openLog(pool, textOf(record, 'VDI'));
    pool.store.patch('VBD', vbd, {
      currently_attached: true,
      device: deviceName(Number(textOf(record, 'userdevice'))),
    });
    return undefined;
  },
  'VBD.unplug': unplug,
  'VBD.unplug_force': unplug,
  'VBD.eject': ({ pool }, args) => {
    const vbd = args.text(0);
    const record = pool.store.get('VBD', vbd);
    assertDrive(record, vbd);
    if (flagOf(record, 'empty')) throw new SimulatedFailure('VBD_IS_EMPTY', [vbd]);
    pool.store.patch('VBD', vbd, { VDI: NULL_REF, empty: true });
    return undefined;
  },
  'VBD.insert': ({ pool }, args) => {
    const vbd = args.text(0);
    const record = pool.store.get('VBD', vbd);
    assertDrive(record, vbd);
    if (!flagOf(record, 'empty')) throw new SimulatedFailure('VBD_NOT_EMPTY', [vbd]);
    pool.store.get('VDI', args.text(1));
    pool.store.patch('VBD', vbd, { VDI: args.text(1), empty: false });
    return undefined;
  },
  'VBD.assert_attachable': ({ pool }, args) => {
    assertNotTaken(pool, args.text(0));
    return undefined;
  },
};

function assertDiskFits(pool: SimulatedPool, vdi: string, isDisk: boolean, mode: string): void {
  assertHasData(pool, vdi);
  const record = pool.store.get('VDI', vdi);
  if (isDisk && mode === 'RW' && flagOf(record, 'read_only')) throw new SimulatedFailure('VDI_READONLY', [vdi]);
}

/** A disk that another VBD has attached for writing cannot be attached for writing again, unless it is sharable. */
function assertNotTaken(pool: SimulatedPool, vbd: string): void {
  const record = pool.store.get('VBD', vbd);
  const vdi = pool.store.find('VDI', textOf(record, 'VDI'));
  if (vdi === undefined || flagOf(vdi, 'sharable')) return;
  const isTaken = setOf(vdi, 'VBDs').some((other) => {
    const otherRecord = pool.store.get('VBD', other);
    const isWriter = textOf(otherRecord, 'mode') === 'RW' || textOf(record, 'mode') === 'RW';
    return other !== vbd && isWriter && flagOf(otherRecord, 'currently_attached');
  });
  if (isTaken) throw new SimulatedFailure('VDI_IN_USE', [textOf(record, 'VDI'), 'attach']);
}

function assertRunning(pool: SimulatedPool, vm: string): void {
  const state = textOf(pool.store.get('VM', vm), 'power_state');
  if (state !== 'Running') throw new SimulatedFailure('VM_BAD_POWER_STATE', [vm, 'running', state.toLowerCase()]);
}

function assertDrive(record: Parameters<typeof textOf>[0], vbd: string): void {
  if (textOf(record, 'type') === 'Disk') throw new SimulatedFailure('VBD_NOT_REMOVABLE_MEDIA', [vbd]);
}

function ownerOf(pool: SimulatedPool, vbd: string): string {
  return textOf(pool.store.get('VM', textOf(pool.store.get('VBD', vbd), 'VM')), 'uuid');
}
