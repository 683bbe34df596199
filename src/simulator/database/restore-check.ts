import { SCHEMA_MAJOR } from '../datamodel/release.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, setOf, textOf } from '../wire/wire-value.js';
import { type DatabaseContent } from './database-reader.js';

/**
 * Whether a host can take that database over, with XAPI's checks in its order. Throws RESTORE_INCOMPATIBLE_VERSION [],
 * RESTORE_TARGET_MISSING_DEVICE [device] or RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP [devices...].
 */
export function assertRestorable(pool: SimulatedPool, host: string, database: DatabaseContent): void {
  const { schemaMinor } = pool.datamodel.release;
  if (database.schemaMajor !== SCHEMA_MAJOR || database.schemaMinor !== schemaMinor) {
    throw new SimulatedFailure('RESTORE_INCOMPATIBLE_VERSION');
  }
  const master = database.tables.get('pool')?.[0]?.master;
  if (master === undefined) throw new SimulatedFailure('INTERNAL_ERROR', ['Failure("hd")']);
  const present = setOf(pool.store.get('host', host), 'PIFs').map((pif) => pool.store.get('PIF', pif));
  const cards = new Set(present.filter((pif) => flagOf(pif, 'physical')).map((pif) => textOf(pif, 'device')));
  const management = present.filter((pif) => flagOf(pif, 'management')).map((pif) => textOf(pif, 'device'));
  const saved = (database.tables.get('PIF') ?? []).filter((pif) => pif.host === master);
  for (const { device = '', physical } of saved) {
    if (physical === 'true' && !cards.has(device)) {
      throw new SimulatedFailure('RESTORE_TARGET_MISSING_DEVICE', [device]);
    }
  }
  const devices = saved.map(({ device = '' }) => device);
  const [wanted] = management;
  if (management.length === 1 && wanted !== undefined && !devices.includes(wanted)) {
    throw new SimulatedFailure('RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP', devices.reverse());
  }
}
