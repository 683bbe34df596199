import { assertHasData } from '../behaviour/vdi-methods.js';
import { contentOf } from '../behaviour/disks.js';
import { type DiskContent } from '../content/disk-content.js';
import { attachToHost } from '../handlers/disk-hold.js';
import { assertRole } from '../rpc/access.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, setOf, textOf } from '../wire/wire-value.js';

/** A disk that a host serves. */
export interface NbdExport {
  readonly content: DiskContent;
  /** Takes the disk from the control domain. */
  readonly detach: () => void;
}

/**
 * Opens what an export name `/<uuid of a VDI>?session_id=<reference>` stands for: checks the session and attaches the
 * disk to the host's control domain. Throws what XAPI would say; a client only sees that the connection ends.
 */
export function openExport(pool: SimulatedPool, host: string, exportName: string): NbdExport {
  const [path = '', query = ''] = exportName.split(/\?(.*)/s);
  const session = new URLSearchParams(query).get('session_id') ?? '';
  pool.sessions.check(session);
  assertRole(pool, session, 'vbd.create', 'vm-admin');
  if (!path.startsWith('/')) throw new SimulatedFailure('UUID_INVALID', ['VDI', path]);
  const vdi = pool.store.refByUuid('VDI', path.slice(1));
  assertHasData(pool, vdi);
  assertPlugged(pool, host, textOf(pool.store.get('VDI', vdi), 'SR'));
  const content = contentOf(pool, vdi);
  return { content, detach: attachToHost(pool, host, vdi, 'RO') };
}

function assertPlugged(pool: SimulatedPool, host: string, sr: string): void {
  const isPlugged = setOf(pool.store.get('SR', sr), 'PBDs').some((pbd) => {
    const record = pool.store.get('PBD', pbd);
    return textOf(record, 'host') === host && flagOf(record, 'currently_attached');
  });
  if (!isPlugged) throw new SimulatedFailure('SR_NOT_ATTACHED', [sr]);
}
