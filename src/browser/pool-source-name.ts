import { BackupError } from '../contract/index.js';
import { isUuid } from './source-name.js';

/** The path of a pool's metadata; `meta-data` is the older word for it. */
export const POOL_PATH = 'pool/metadata';
const POOL_ALIAS = 'meta-data';
/** The older word for the host that the client names. */
const HOST_ALIAS = 'host-backup';
const ALL_HOSTS = 'host/*';

/** What resolution must know of a host record; the field names are XAPI's. */
export interface NameableHost {
  readonly uuid: string;
  readonly name_label: string;
  readonly address: string;
  readonly hostname: string;
}

/** A name of a host: all of them, the one that the client's address means, or one by UUID or name. */
export type HostName =
  { readonly way: 'all' } | { readonly way: 'client' } | { readonly way: 'named'; readonly text: string };

/**
 * True when a name stands for the pool's metadata. A machine called `meta-data` is reachable as `vm/meta-data`.
 * @throws {BackupError} OBJECT_NOT_FOUND for anything else below `pool/`.
 */
export function isPoolName(typed: string): boolean {
  const name = typed.trim();
  if (name === POOL_PATH || name === POOL_ALIAS) return true;
  if (!name.startsWith('pool/')) return false;
  throw new BackupError('OBJECT_NOT_FOUND', `A pool has nothing called "${name}".`, {
    hint: `Its metadata is ${POOL_PATH}.`,
    context: { source: typed },
  });
}

/**
 * Reads `host/<uuid or name>`, `host/*` or `host-backup`; undefined for any other name.
 * @throws {BackupError} REQUEST_INVALID for `host/` alone.
 */
export function parseHostName(typed: string): HostName | undefined {
  const name = typed.trim();
  if (name === HOST_ALIAS) return { way: 'client' };
  if (name === ALL_HOSTS) return { way: 'all' };
  if (!name.startsWith('host/')) return undefined;
  const text = name.slice('host/'.length);
  if (text !== '') return { way: 'named', text };
  throw new BackupError('REQUEST_INVALID', `"${typed}" names nothing.`, {
    hint: `Write host/<uuid or name>, or ${ALL_HOSTS} for all hosts.`,
  });
}

/** The path that always means this host and no other. */
export function hostPath({ uuid }: Pick<NameableHost, 'uuid'>): string {
  return `host/${uuid}`;
}

/**
 * The one host that a UUID or name stands for.
 * @throws {BackupError} OBJECT_NOT_FOUND, OBJECT_AMBIGUOUS with the candidates.
 */
export function resolveHost<Host extends NameableHost>(text: string, hosts: Iterable<Host>): Host {
  const everything = [...hosts];
  const wanted = text.toLowerCase();
  const byUuid = isUuid(text) ? everything.filter(({ uuid }) => uuid.toLowerCase() === wanted) : [];
  return onlyOne(
    text,
    byUuid.length > 0 ? byUuid : everything.filter(({ name_label: name }) => name === text),
    everything,
  );
}

/**
 * The host that the address of a client means, `addresses` being what it stands for. In a pool of one there is no doubt.
 * @throws {BackupError} OBJECT_NOT_FOUND, OBJECT_AMBIGUOUS.
 */
export function resolveClientHost<Host extends NameableHost>(
  named: string,
  addresses: readonly string[],
  hosts: Iterable<Host>,
): Host {
  const everything = [...hosts];
  const [first, second] = everything;
  if (first !== undefined && second === undefined) return first;
  const wanted = new Set([named, ...addresses].map((address) => address.toLowerCase()));
  const fitting = everything.filter(
    ({ address, hostname }) => wanted.has(address.toLowerCase()) || wanted.has(hostname.toLowerCase()),
  );
  return onlyOne(`${HOST_ALIAS} (${named})`, fitting, everything);
}

function onlyOne<Host extends NameableHost>(
  typed: string,
  fitting: readonly Host[],
  everything: readonly Host[],
): Host {
  const [first, ...others] = fitting;
  const listed = (hosts: readonly Host[]): string => hosts.slice(0, 10).map(hostPath).join(', ');
  if (first === undefined) {
    throw new BackupError('OBJECT_NOT_FOUND', `No host of the pool is called "${typed}".`, {
      hint: `The pool has ${listed(everything)}.`,
      context: { source: typed },
    });
  }
  if (others.length === 0) return first;
  throw new BackupError('OBJECT_AMBIGUOUS', `"${typed}" fits ${fitting.length} hosts: ${listed(fitting)}.`, {
    hint: 'Use one of these paths.',
    context: { source: typed, candidates: fitting.map(({ uuid }) => uuid) },
  });
}
