import { databaseDump } from '../database/database-dump.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { textOf } from '../wire/wire-value.js';
import { SeededRandom } from '../random.js';

/** A file of a control domain; the path has no slash in front. */
export interface HostFile {
  readonly path: string;
  readonly content: Buffer;
}

const PROGRAM_BYTES = 256 * 1024;

/** Some of what is in a host's control domain: what tells one host from another, and a few files to fill it. */
export function hostFiles(pool: SimulatedPool, host: string): readonly HostFile[] {
  const record = pool.store.get('host', host);
  const { release } = pool.datamodel;
  const day = textOf(record, 'uuid').slice(0, 8);
  const role =
    host === pool.coordinator ? 'master' : `slave:${textOf(pool.store.get('host', pool.coordinator), 'address')}`;
  const inventory = {
    PRODUCT_BRAND: 'XCP-ng',
    PRODUCT_NAME: 'xenenterprise',
    PRODUCT_VERSION: release.productVersion,
    PLATFORM_VERSION: release.platformVersion,
    INSTALLATION_UUID: textOf(record, 'uuid'),
    CONTROL_DOMAIN_UUID: textOf(pool.store.find('VM', textOf(record, 'control_domain')) ?? {}, 'uuid'),
    MANAGEMENT_INTERFACE: 'xenbr0',
    PRIMARY_DISK: '/dev/sda',
  };
  const texts: Readonly<Record<string, string>> = {
    'boot/efi/EFI/xenserver/grub.cfg': 'set default=0\nset timeout=5\n',
    'etc/hostname': `${textOf(record, 'hostname')}\n`,
    'etc/xensource-inventory': lines(inventory),
    'etc/xensource/pool.conf': role,
    [`var/backup/pool-database-${day}`]: [...databaseDump(pool)].join(''),
    'var/lib/xcp/state.db.generation': String(pool.store.generation),
  };
  const program = new SeededRandom(release.schemaMinor).bytes(PROGRAM_BYTES);
  return [
    ...Object.entries(texts).map(([path, text]) => ({ path, content: Buffer.from(text) })),
    { path: 'opt/xensource/bin/xapi', content: program },
  ];
}

function lines(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}='${value}'\n`)
    .join('');
}
