import { X509Certificate } from 'node:crypto';
import { nbdAddressesOf } from '../nbd/nbd-networks.js';
import { type MethodTable } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, setOf, textOf, type WireMap } from '../wire/wire-value.js';
import { assertHasData } from './vdi-methods.js';

/** Which networks disks are served over, and where each disk is to be had (facts 7.3). */
export const nbdMethods: MethodTable = {
  'VDI.get_nbd_info': ({ pool, session }, args) => {
    const vdi = args.text(0);
    assertHasData(pool, vdi);
    const record = pool.store.get('VDI', vdi);
    const exportname = `/${textOf(record, 'uuid')}?session_id=${session}`;
    return setOf(pool.store.get('SR', textOf(record, 'SR')), 'PBDs').flatMap((pbd) => serversAt(pool, pbd, exportname));
  },
  'network.add_purpose': ({ pool }, args) => {
    const [network, purpose] = [args.text(0), args.text(1)];
    const record = pool.store.get('network', network);
    if (!flagOf(record, 'managed')) throw new SimulatedFailure('NETWORK_UNMANAGED', [network]);
    const current = setOf(record, 'purpose');
    if (current.includes(purpose)) return undefined;
    const all = pool.store.all('network').flatMap(([, other]) => setOf(other, 'purpose'));
    const conflicting = all.find((other) => other !== purpose);
    if (conflicting !== undefined) {
      throw new SimulatedFailure('NETWORK_INCOMPATIBLE_PURPOSES', [purpose, conflicting]);
    }
    pool.store.patch('network', network, { purpose: [purpose, ...current] });
    return undefined;
  },
  'network.remove_purpose': ({ pool }, args) => {
    const current = setOf(pool.store.get('network', args.text(0)), 'purpose');
    pool.store.patch('network', args.text(0), { purpose: current.filter((purpose) => purpose !== args.text(1)) });
    return undefined;
  },
};

/** One entry for each address that the PBD's host has on a network for NBD. */
function serversAt(pool: SimulatedPool, pbd: string, exportname: string): readonly WireMap[] {
  const record = pool.store.get('PBD', pbd);
  if (!flagOf(record, 'currently_attached')) return [];
  const host = textOf(record, 'host');
  const cert = pool.certificates.get(host) ?? '';
  const subject = hostnameIn(cert) ?? textOf(pool.store.get('host', host), 'hostname');
  return nbdAddressesOf(pool, host).map((address) => ({ exportname, address, port: pool.nbdPort, cert, subject }));
}

/** The name to verify a certificate by: the first one without a wildcard when there is any. */
function hostnameIn(certificatePem: string): string | undefined {
  const names = (new X509Certificate(certificatePem).subjectAltName ?? '')
    .split(', ')
    .flatMap((name) => (name.startsWith('DNS:') ? [name.slice('DNS:'.length)] : []))
    .sort();
  return names.find((name) => !name.startsWith('*.')) ?? names[0];
}
