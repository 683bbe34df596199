import { compareLifecycles } from '../datamodel/release.js';
import { type Exchange } from '../http/handler.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';

export type DiskFormat = 'raw' | 'vhd' | 'tar';

/** The reference for a parameter that carries a reference or a uuid; undefined without it. Throws UUID_INVALID. */
export function diskNamed({ pool, query }: Exchange, parameter: 'vdi' | 'base'): string | undefined {
  const name = query.get(parameter);
  return name === null ? undefined : pool.store.refByRefOrUuid('VDI', name);
}

/** The SR of an import that makes its disk. Throws UUID_INVALID. */
export function storageNamed({ pool, query }: Exchange): string | undefined {
  const uuid = query.get('sr_uuid');
  return query.get('sr_id') ?? (uuid === null ? undefined : pool.store.refByUuid('SR', uuid));
}

/** Which format is asked for, in any case of letters; undefined for one that this release does not know. */
export function formatOf({ pool, query }: Exchange): DiskFormat | undefined {
  const name = (query.get('format') ?? 'raw').toLowerCase();
  const isKnown = name === 'raw' || name === 'vhd' || (name === 'tar' && isSince(pool, '1.126.0'));
  return isKnown ? name : undefined;
}

/** What the task says of a format that this release does not know. */
export function unknownFormat({ query }: Exchange): string {
  return `Unknown format ${query.get('format') ?? ''}`;
}

/** This release's XAPI is that version or newer. */
export function isSince(pool: SimulatedPool, xapiVersion: string): boolean {
  return compareLifecycles([], pool.datamodel.release.xapiVersion, xapiVersion) >= 0;
}

/** What a program that XAPI lets move the bytes reports, whatever went wrong. */
export function ioError(): SimulatedFailure {
  return new SimulatedFailure('VDI_IO_ERROR', ['Device I/O errors']);
}
