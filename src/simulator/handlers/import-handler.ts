import { contentOf, createVdi, destroyVdi, updateVdiSpace } from '../behaviour/disks.js';
import { destroyVmRecord } from '../behaviour/destroy-vm.js';
import { roomIn } from '../behaviour/sr-space.js';
import { isUpgrading } from '../behaviour/vm-operations.js';
import { type Exchange } from '../http/handler.js';
import { redirectFor } from '../http/redirect.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { rpcStrings } from '../wire/rpc-value.js';
import { numberOf, textOf } from '../wire/wire-value.js';
import { toXmlText } from '../wire/xml-text.js';
import { importArchive } from '../xva/importer.js';
import { type ImportActions, type ImportKind } from '../xva/import-state.js';
import { holdDisks } from './disk-hold.js';
import { importHead, refusalHead } from './heads.js';
import { isSince } from './raw-vdi-request.js';
import { progressOf } from './task-progress.js';
import { untilHungUp } from './until-hung-up.js';

/** PUT /import: a whole archive becomes VMs with new disks in one SR (facts 4.4, in that order of checks). */
export async function handleImport(exchange: Exchange): Promise<void> {
  const { pool } = exchange;
  const sr = chosenSr(exchange);
  if (!pool.store.has('SR', sr)) throw new SimulatedFailure('NO_HOSTS_AVAILABLE');
  if (await redirectFor(exchange, [sr])) return;
  const task = exchange.adoptTask('VM.import');
  pool.tasks.setProgress(task, 0);
  if (isUpgrading(pool) && isSince(pool, '1.60.0')) {
    await exchange.writeHead(refusalHead('400 Bad Request'));
    throw new SimulatedFailure('NOT_SUPPORTED_DURING_UPGRADE');
  }
  if (textOf(pool.store.get('SR', sr), 'content_type') === 'iso') {
    await exchange.writeHead(refusalHead('400 Bad Request'));
    throw new SimulatedFailure('SR_OPERATION_NOT_SUPPORTED');
  }
  if (exchange.headers.has('transfer-encoding')) {
    await exchange.writeHead(refusalHead('403 Forbidden'));
    throw new SimulatedFailure('IMPORT_ERROR_CANNOT_HANDLE_CHUNKED');
  }
  await exchange.writeHead(importHead(task));
  await importBody(exchange, task, { kind: 'full', sr });
}

/** PUT /import_metadata: VMs whose disks are in the pool already (facts 4.5). */
export async function handleImportMetadata(exchange: Exchange): Promise<void> {
  const { query } = exchange;
  const task = exchange.adoptTask('VM.metadata_import');
  await exchange.writeHead(importHead(task));
  const prefix = 'vdi:';
  const vdiMap = new Map(
    [...query].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]),
  );
  await importBody(exchange, task, {
    kind: 'metadata',
    dryRun: query.get('dry_run') === 'true',
    live: query.get('live') === 'true',
    vdiMap,
  });
}

async function importBody(exchange: Exchange, task: string, kind: ImportKind): Promise<void> {
  const { pool, query } = exchange;
  const vms = await importArchive({
    pool,
    settings: { kind, restore: query.get('restore') === 'true', force: query.get('force') === 'true', task },
    actions: actionsOf(pool, exchange.host),
    body: exchange.body,
    // XAPI reads on whatever length was announced: an archive cut short ends only with the connection.
    waitAtEnd: () => untilHungUp(exchange),
    contentOf: (vdi) => contentOf(pool, vdi),
    roomBytes: kind.kind === 'full' ? roomIn(pool, kind.sr) : Number.POSITIVE_INFINITY,
    onProgress: progressOf(pool, task),
  });
  pool.tasks.succeed(task, toXmlText(rpcStrings(vms)));
}

function actionsOf(pool: SimulatedPool, host: string): ImportActions {
  return {
    createVdi: (fields) =>
      createVdi(pool, { SR: textOf(fields, 'SR'), virtual_size: numberOf(fields, 'virtual_size'), fields }),
    destroyVdi: (ref) => {
      destroyVdi(pool, ref);
    },
    destroyVm: (ref) => {
      destroyVmRecord(pool, ref);
    },
    holdDisks: (vdis) => {
      const detach = holdDisks(pool, host, vdis, 'RW');
      return () => {
        detach();
        for (const vdi of vdis) updateVdiSpace(pool, vdi);
      };
    },
  };
}

/** Throws DEFAULT_SR_NOT_FOUND [ref] when neither the query nor the pool names an SR. */
function chosenSr({ pool, query }: Exchange): string {
  const ref = query.get('sr_id');
  if (ref !== null) return ref;
  const uuid = query.get('sr_uuid');
  if (uuid !== null) return pool.store.refByUuid('SR', uuid);
  const preset = textOf(pool.poolEntry[1], 'default_SR');
  if (!pool.store.has('SR', preset)) throw new SimulatedFailure('DEFAULT_SR_NOT_FOUND', [preset]);
  return preset;
}
