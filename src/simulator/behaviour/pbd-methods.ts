import { type MethodTable } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, setOf, textOf, type XapiRecord } from '../wire/wire-value.js';
import { fieldsForCreate } from './constructor.js';

/** Calls on the connections between hosts and storage: `ocaml/xapi/xapi_pbd.ml`. */
export const pbdMethods: MethodTable = {
  'PBD.create': ({ pool }, args) => {
    const fields = fieldsForCreate(pool, 'PBD', args.map(0));
    const [host, sr] = [textOf(fields, 'host'), textOf(fields, 'SR')];
    const known = setOf(pool.store.get('SR', sr), 'PBDs').find(
      (ref) => textOf(pool.store.get('PBD', ref), 'host') === host,
    );
    if (known !== undefined) throw new SimulatedFailure('PBD_EXISTS', [sr, host, known]);
    return pool.store.create('PBD', { ...fields, currently_attached: false });
  },
  'PBD.destroy': ({ pool }, args) => {
    if (flagOf(pool.store.get('PBD', args.text(0)), 'currently_attached')) {
      throw new SimulatedFailure('OPERATION_NOT_ALLOWED', ['PBD is currently attached']);
    }
    pool.store.destroy('PBD', args.text(0));
    return undefined;
  },
  'PBD.plug': ({ pool }, args) => {
    pool.store.patch('PBD', args.text(0), { currently_attached: true });
    return undefined;
  },
  'PBD.unplug': ({ pool }, args) => {
    const inUse = disksInUse(pool, pool.store.get('PBD', args.text(0)));
    if (inUse.length > 0) throw new SimulatedFailure('VDI_IN_USE', inUse);
    pool.store.patch('PBD', args.text(0), { currently_attached: false });
    return undefined;
  },
};

/** The disks of the storage that machines on that host have attached. */
function disksInUse(pool: SimulatedPool, record: XapiRecord): string[] {
  const sr = pool.store.find('SR', textOf(record, 'SR'));
  return setOf(sr ?? {}, 'VDIs').filter((vdi) =>
    setOf(pool.store.get('VDI', vdi), 'VBDs').some((vbd) => {
      const drive = pool.store.get('VBD', vbd);
      const vm = pool.store.find('VM', textOf(drive, 'VM'));
      return flagOf(drive, 'currently_attached') && textOf(vm ?? {}, 'resident_on') === textOf(record, 'host');
    }),
  );
}
