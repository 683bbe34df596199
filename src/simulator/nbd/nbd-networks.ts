import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, setOf, textOf } from '../wire/wire-value.js';

/** How a pool serves disks: `nbd` secured and no other way, `insecure_nbd` in clear. Undefined: it does not. */
export function nbdPurpose(pool: SimulatedPool): 'nbd' | 'insecure_nbd' | undefined {
  const purposes = new Set(pool.store.all('network').flatMap(([, network]) => setOf(network, 'purpose')));
  if (purposes.has('nbd')) return 'nbd';
  return purposes.has('insecure_nbd') ? 'insecure_nbd' : undefined;
}

/** The addresses that a host has on networks for NBD. Only these are open in its firewall. */
export function nbdAddressesOf(pool: SimulatedPool, host: string): readonly string[] {
  const { store } = pool;
  return setOf(store.get('host', host), 'PIFs').flatMap((ref) => {
    const pif = store.get('PIF', ref);
    const network = store.find('network', textOf(pif, 'network')) ?? {};
    const isForNbd = setOf(network, 'purpose').some((purpose) => purpose === 'nbd' || purpose === 'insecure_nbd');
    if (!isForNbd || !flagOf(pif, 'currently_attached')) return [];
    return [textOf(pif, 'IP'), ...setOf(pif, 'IPv6')].filter((address) => address !== '');
  });
}
