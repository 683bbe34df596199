import { BlockList, isIPv4 } from 'node:net';
import { type CheckLine } from '../contract/index.js';

/** A network interface of a host. */
export interface InterfaceFacts {
  readonly host: string;
  readonly device: string;
  readonly uuid: string;
  readonly isManagement: boolean;
  readonly isAttached: boolean;
  /** Empty when it has none. */
  readonly address: string;
  readonly netmask: string;
}

/** A bond: several cards that act as one. */
export interface BondFacts {
  readonly host: string;
  readonly device: string;
  /** UUID of the interface that the bond makes. */
  readonly interfaceUuid: string;
  readonly mode: string;
  readonly cardCount: number;
  readonly linksUp: number;
}

const ARTICLE = 'Citrix collects what else such networks need (spanning tree, switch settings) in CTX123158.';

/** Two interfaces of one host in one subnet: answers leave by the wrong one, and connections stall or break. */
export function subnetFindings(interfaces: readonly InterfaceFacts[]): readonly CheckLine[] {
  const used = interfaces.filter(
    ({ isAttached, address, netmask }) => isAttached && isIPv4(address) && isIPv4(netmask),
  );
  return used.flatMap((first, index) =>
    used
      .slice(index + 1)
      .filter((second) => second.host === first.host && sharesSubnet(first, second))
      .map((second): CheckLine => {
        const pair = `${first.device} (${first.address}) and ${second.device} (${second.address})`;
        return {
          status: 'warning',
          check: 'subnet',
          message: `The host ${first.host} has two interfaces in one subnet: ${pair}.`,
          hint:
            'Answers leave by either, so sockets open late (3 s, 80 s) or break. Put them into different subnets, or ' +
            `take the address from one. ${ARTICLE}`,
        };
      }),
  );
}

/** Increments work without NBD, but cost more. */
export function nbdFinding(hasNbd: boolean): CheckLine {
  if (hasNbd)
    return { status: 'ok', check: 'nbd', message: 'A network carries NBD: increments read changed blocks only.' };
  return {
    status: 'ok',
    check: 'nbd',
    message: 'No network carries NBD: increments keep a whole snapshot in the pool and move blocks of 2 MiB.',
    hint: 'From 7.3 on: xe network-param-add uuid=<of a network> param-name=purpose param-key=nbd',
  };
}

/** What a person must compare with the switch when a bond negotiates (LACP, 802.3ad), and bonds that lost a link. */
export function bondFindings(bonds: readonly BondFacts[]): readonly CheckLine[] {
  return bonds.flatMap((bond) => {
    const { host, device, mode, cardCount, linksUp } = bond;
    const lines: CheckLine[] = [];
    if (linksUp < cardCount) {
      const message = `Of the bond ${device} of ${host} only ${linksUp} of ${cardCount} links are up.`;
      lines.push({ status: 'warning', check: 'bond', message, hint: 'Look at cables and switch ports.' });
    }
    if (mode === 'lacp') lines.push(lacpHint(bond));
    return lines;
  });
}

function lacpHint({ host, device, interfaceUuid }: BondFacts): CheckLine {
  return {
    status: 'ok',
    check: 'bond',
    message: `The bond ${device} of ${host} negotiates with its switch (LACP); both must spread traffic in the same way.`,
    hint:
      `Compare "Bonding Mode" and "Transmit Hash Policy" of cat /proc/net/bonding/${device} on the host with the ` +
      'switch: Linux starts with layer2, Cisco with layer3+4. Reported by users as a cure, untested, not supported by ' +
      `anybody, and never done by this software: xe pif-param-set uuid=${interfaceUuid} ` +
      `other-config:bond-xmit_hash_policy=1 and a restart of the host. ${ARTICLE}`,
  };
}

function sharesSubnet(first: InterfaceFacts, second: InterfaceFacts): boolean {
  return isInSubnetOf(second.address, first) || isInSubnetOf(first.address, second);
}

function isInSubnetOf(address: string, { address: own, netmask }: InterfaceFacts): boolean {
  const list = new BlockList();
  list.addSubnet(own, prefixOf(netmask));
  return list.check(address);
}

/** 255.255.255.0 is 24. */
function prefixOf(netmask: string): number {
  const bits = netmask
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');
  const firstZero = bits.indexOf('0');
  return firstZero < 0 ? bits.length : firstZero;
}
