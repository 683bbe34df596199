import { compareLifecycles } from '../datamodel/release.js';
import { type ChecksumKind } from '../content/block-checksums.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { ExportIds } from '../xva/export-graph.js';

/** How a release writes archives. */
export interface ArchiveFormat {
  readonly checksum: ChecksumKind;
  readonly withVmMetrics: boolean;
}

/** XXH64 since xapi 1.170, in 8.1; VM_metrics objects in the releases after 24.19 (facts 5.2, 5.4). */
export function archiveFormatOf(pool: SimulatedPool): ArchiveFormat {
  const { xapiVersion } = pool.datamodel.release;
  return {
    checksum: compareLifecycles([], xapiVersion, '1.170.0') >= 0 ? 'xxhash' : 'sha1',
    withVmMetrics: compareLifecycles([], xapiVersion, '25.0.0') >= 0,
  };
}

const idsByPool = new WeakMap<SimulatedPool, ExportIds>();

/** The counter behind a pool's `Ref:<n>`. */
export function exportIdsOf(pool: SimulatedPool): ExportIds {
  let ids = idsByPool.get(pool);
  if (ids === undefined) idsByPool.set(pool, (ids = new ExportIds()));
  return ids;
}
