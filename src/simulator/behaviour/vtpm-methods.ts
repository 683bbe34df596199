import { type MethodTable } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, mapOf, setOf, textOf } from '../wire/wire-value.js';

const RESTRICTION = 'restrict_vtpm';
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Virtual TPMs. What one holds is a secret of the pool; only the local superuser may read it. */
export const vtpmMethods: MethodTable = {
  'VTPM.create': ({ pool }, args) => {
    const vm = args.text(0);
    if (mapOf(pool.poolEntry[1], 'restrictions')[RESTRICTION] !== 'false') {
      throw new SimulatedFailure('FEATURE_RESTRICTED', [RESTRICTION]);
    }
    if (flagOf(pool.poolEntry[1], 'ha_enabled')) {
      throw new SimulatedFailure('NOT_IMPLEMENTED', ['VTPM.create with HA or clustering enabled']);
    }
    const present = setOf(pool.store.get('VM', vm), 'VTPMs').length;
    if (present > 0) throw new SimulatedFailure('VTPM_MAX_AMOUNT_REACHED', [String(present)]);
    assertHalted(pool, vm);
    return createVtpm(pool, vm, args.flag(1), '');
  },
  'VTPM.destroy': ({ pool }, args) => {
    assertHalted(pool, textOf(pool.store.get('VTPM', args.text(0)), 'VM'));
    destroyVtpm(pool, args.text(0));
    return undefined;
  },
  'VTPM.get_contents': ({ pool }, args) => contentsOf(pool, args.text(0)),
  'VTPM.set_contents': ({ pool }, args) => {
    if (!BASE64.test(args.text(1))) throw new SimulatedFailure('INTERNAL_ERROR', ['Wrong padding']);
    const before = textOf(pool.store.get('VTPM', args.text(0)), 'contents');
    pool.store.patch('VTPM', args.text(0), { contents: pool.store.create('secret', { value: args.text(1) }) });
    if (pool.store.has('secret', before)) pool.store.destroy('secret', before);
    return undefined;
  },
};

/** `contents` is base64. */
export function createVtpm(pool: SimulatedPool, vm: string, isUnique: boolean, contents: string): string {
  return pool.store.create('VTPM', {
    VM: vm,
    is_unique: isUnique,
    persistence_backend: 'xapi',
    contents: pool.store.create('secret', { value: contents }),
  });
}

/** Gives a VM a TPM like that one; what is in a unique one does not go along. */
export function copyVtpm(pool: SimulatedPool, vtpm: string, vm: string): string {
  const isUnique = flagOf(pool.store.get('VTPM', vtpm), 'is_unique');
  return createVtpm(pool, vm, isUnique, isUnique ? '' : contentsOf(pool, vtpm));
}

/** Removes a TPM with its secret. */
export function destroyVtpm(pool: SimulatedPool, vtpm: string): void {
  const secret = textOf(pool.store.get('VTPM', vtpm), 'contents');
  pool.store.destroy('VTPM', vtpm);
  if (pool.store.has('secret', secret)) pool.store.destroy('secret', secret);
}

function contentsOf(pool: SimulatedPool, vtpm: string): string {
  const secret = pool.store.find('secret', textOf(pool.store.get('VTPM', vtpm), 'contents'));
  return secret === undefined ? '' : textOf(secret, 'value');
}

function assertHalted(pool: SimulatedPool, vm: string): void {
  const state = textOf(pool.store.get('VM', vm), 'power_state');
  if (state !== 'Halted') throw new SimulatedFailure('VM_BAD_POWER_STATE', [vm, 'halted', state.toLowerCase()]);
}
