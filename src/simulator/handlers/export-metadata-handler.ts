import { withOperation } from '../behaviour/with-operation.js';
import { type Exchange } from '../http/handler.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, mapOf } from '../wire/wire-value.js';
import { collectExport, type DeviceType } from '../xva/export-graph.js';
import { archiveVersion, writeOvaXml } from '../xva/ova-xml.js';
import { metadataArchive } from '../xva/xva-writer.js';
import { archiveFormatOf, exportIdsOf } from './archive-format.js';
import { exportedVm } from './export-handler.js';
import { exportHead } from './heads.js';

const DEVICE_TYPES: readonly DeviceType[] = ['vif', 'vbd', 'vgpu', 'vtpm'];

/** GET /export_metadata: the records of one VM or of all, whatever they are doing (facts 4.3). */
export async function handleExportMetadata(exchange: Exchange): Promise<void> {
  const { pool, query } = exchange;
  const task = exchange.adoptTask('VM.export_metadata');
  const scope = {
    withSnapshots: query.get('export_snapshots') !== 'false',
    preservePowerState: true,
    includeVhdParents: query.get('include_vhd_parents') === 'true',
    excludedDevices: excludedDevices(query.get('excluded_device_types') ?? ''),
    withVmMetrics: archiveFormatOf(pool).withVmMetrics,
    vms: query.get('all') === 'true' ? allVms(pool, query.get('include_dom0') !== 'false') : [exportedVm(exchange)],
  };
  const send = async (): Promise<void> => {
    const table = collectExport(pool.store, scope, exportIdsOf(pool));
    const version = archiveVersion(pool.datamodel, pool.store.get('host', exchange.host));
    const ovaXml = writeOvaXml(pool.store, pool.datamodel, table, version, scope);
    const archive = metadataArchive(ovaXml, Math.floor(pool.clock.nowMs() / 1000));
    await exchange.writeHead(exportHead(task, archive.length));
    await exchange.write(archive);
  };
  await scope.vms.reduce((work, vm) => () => withOperation(pool, task, 'VM', vm, 'metadata_export', work), send)();
  pool.tasks.succeed(task, '');
}

/** Everything but default templates. */
function allVms(pool: SimulatedPool, withControlDomains: boolean): readonly string[] {
  const refs = pool.store
    .all('VM')
    .filter(([, vm]) => {
      const hasMark = flagOf(vm, 'is_a_template') && mapOf(vm, 'other_config').default_template === 'true';
      return !flagOf(vm, 'is_default_template') && !hasMark && (withControlDomains || !flagOf(vm, 'is_control_domain'));
    })
    .map(([ref]) => ref);
  if (refs.length === 0) throw new SimulatedFailure('INTERNAL_ERROR', ['Failure("need to specify at least one VM")']);
  return refs;
}

function excludedDevices(list: string): readonly DeviceType[] {
  return list
    .split(',')
    .filter((name) => name !== '')
    .map((name) => {
      const found = DEVICE_TYPES.find((type) => type === name.toLowerCase());
      if (found !== undefined) return found;
      const text = `Importexport.Devicetype.of_string: Type '${name.toLowerCase()}' not one of [${DEVICE_TYPES.join('; ')}]`;
      throw new SimulatedFailure('INTERNAL_ERROR', [`Failure("${text}")`]);
    });
}
