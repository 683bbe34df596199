import { isIP } from 'node:net';
import { BackupError } from '../contract/index.js';
import { type PoolMember } from './pool-connection.js';

/** The machine that moves the data: this one, under the names and addresses that it goes by. */
export interface DataMover {
  readonly names: readonly string[];
  /** Without loopback addresses: every machine has those. */
  readonly addresses: readonly string[];
}

/**
 * A host of the pool must not move its own data: it would take the control domain's memory and processor from the
 * machines, and be gone together with them. Pure.
 * @throws {BackupError} CONFIG_INVALID
 */
export function assertOutsidePool({ names, addresses }: DataMover, members: readonly PoolMember[]): void {
  for (const member of members) {
    const name = names.find((candidate) => isNameOf(candidate, member));
    const found = name ?? addresses.find((address) => address === member.address);
    if (found === undefined) continue;
    throw new BackupError('CONFIG_INVALID', `The data mover "${found}" is a host of the pool (${member.name}).`, {
      hint: 'Run the backup on a machine outside the pool, or correct the setting dataMover.',
      context: { dataMover: found, host: member.uuid },
    });
  }
}

function isNameOf(candidate: string, { uuid, name, hostname, address }: PoolMember): boolean {
  const wanted = candidate.toLowerCase();
  const own = [uuid, name, hostname, address].map((text) => text.toLowerCase()).filter((text) => text !== '');
  if (own.includes(wanted)) return true;
  // One of both may be given with its domain.
  const isWhole = wanted.includes('.') && hostname.includes('.');
  return hostname !== '' && !isWhole && isIP(wanted) === 0 && firstLabel(wanted) === firstLabel(hostname.toLowerCase());
}

function firstLabel(name: string): string {
  return name.split('.', 1)[0] ?? name;
}
