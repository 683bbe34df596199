import { DATABASE_ITEM, type HostDetails, HOST_ITEM, MACHINES_ITEM, type PoolDetails } from '../format/pool-details.js';

/** What a person must know to bring a pool's metadata back, with and without this software (facts 6.2). */
export function poolRunbook(
  { pool, coordinator, hosts, database, release }: Omit<PoolDetails, 'runbook'>,
  madeAt: string,
): string {
  const members = hosts.filter(({ uuid }) => uuid !== coordinator.uuid);
  return `How to bring back the metadata of pool "${pool.name}" (${pool.uuid})
Saved ${madeAt} from ${release.brand} ${release.version}, database schema ${database.schemaMajor}.${database.schemaMinor}.

Keep these files as you keep passwords: the database holds the pool's secrets.

  ${DATABASE_ITEM}   the pool's database: hosts, networks, storage, machines, roles
  ${MACHINES_ITEM}     the records of all machines and templates, without their disks

What a restore of the database does
  - It replaces the whole database by that of the backup. What was made in the pool since then is forgotten; the data
    on shared storage stays where it is.
  - Only the coordinator is kept: ${coordinator.name} (${coordinator.address}).${
    members.length === 0
      ? ''
      : `\n    These members are dropped and must join again: ${members.map(({ name, address }) => `${name} (${address})`).join(', ')}.`
  }
  - The host reboots about 30 seconds later. Machines that run on it stop.
  - The release must be the same as that of the backup, and the host must have the network cards of the backup.
  - It is meant for a pool whose coordinator was lost and installed anew. For a single lost machine use the machine's own
    backup, or ${MACHINES_ITEM}.

With this software
  1. Ask the pool whether it would take the database. Changes nothing:
       xen-backup restore <saveset> --overwrite
  2. Shut down the machines that run in the pool.
  3. Restore it. The UUID is that of the pool that is overwritten:
       xen-backup restore <saveset> --overwrite -o confirm=<uuid of the pool>
  4. When the host is back: log in, look at networks and storage, then let each member join again.

Without this software, on the coordinator
  1. xe pool-restore-database file-name=${DATABASE_ITEM} dry-run=true
  2. xe pool-restore-database file-name=${DATABASE_ITEM} --force

Machines alone, whose disks are still on the storage
  xe vm-import metadata=true filename=${MACHINES_ITEM} dry-run=true
  xe vm-import metadata=true filename=${MACHINES_ITEM}
`;
}

/** What a person must know to bring a host's control domain back, with and without this software (facts 6.3). */
export function hostRunbook({ host, isCoordinator, release }: Omit<HostDetails, 'runbook'>, madeAt: string): string {
  return `How to bring back the host "${host.name}" (${host.uuid}, ${host.address})
Saved ${madeAt} from ${release.brand} ${release.version}.${isCoordinator ? ' It was the coordinator of its pool.' : ''}

Keep this file as you keep passwords: the control domain holds keys and secrets.

  ${HOST_ITEM}   the files of the control domain. The disks of machines are not in it.

What a restore does
  - It formats the host's backup partition, whatever is on it, and unpacks the files there. The running system stays.
  - It takes effect only when the host is booted from the installer and "Restore from backup" is chosen.
  - A backup of a release before 7 is refused by release 7 and later.

With this software
  1. Read the backup through and see what would be done. Changes nothing:
       xen-backup restore <saveset> --overwrite
  2. Restore it. The UUID is that of the host whose backup partition is overwritten; a host that was installed anew has a
     new one, and is named with -o host=<uuid or name>:
       xen-backup restore <saveset> --overwrite -o confirm=<uuid of the host>
  3. Move the machines off the host, boot it from the installer, choose "Restore from backup", boot again.

Without this software, on any machine with xe
  1. xe host-restore file-name=${HOST_ITEM} --force -s ${host.address} -u root
  2. As step 3 above.

The pool's database as it was at that time is in the archive below var/backup.
`;
}
