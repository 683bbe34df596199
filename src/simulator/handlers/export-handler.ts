import { createGzip } from 'node:zlib';
import { type Transform } from 'node:stream';
import { contentOf } from '../behaviour/disks.js';
import { withOperation } from '../behaviour/with-operation.js';
import { type Exchange } from '../http/handler.js';
import { redirectFor } from '../http/redirect.js';
import { SimulatedFailure, toSimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, setOf, textOf } from '../wire/wire-value.js';
import { zstd } from '../xva/archive-reader.js';
import { collectExport, disksOf } from '../xva/export-graph.js';
import { type ByteSink } from '../xva/frame-ring.js';
import { archiveVersion, writeOvaXml } from '../xva/ova-xml.js';
import { writeXva } from '../xva/xva-writer.js';
import { archiveFormatOf, exportIdsOf } from './archive-format.js';
import { dataPathSettings } from './data-path-settings.js';
import { detachAfter, holdDisks } from './disk-hold.js';
import { exportHead } from './heads.js';
import { isSince } from './raw-vdi-request.js';
import { progressOf } from './task-progress.js';

/** GET /export: a whole VM, snapshot or template as an archive (facts 4.2). */
export async function handleExport(exchange: Exchange): Promise<void> {
  const { pool } = exchange;
  const vm = exportedVm(exchange);
  try {
    if (!pool.store.has('VM', vm)) throw new SimulatedFailure('NO_HOSTS_AVAILABLE');
    if (await redirectFor(exchange, storageOf(pool, vm))) return;
  } catch (error) {
    // Nobody can serve it: the task is failed, and the client gets no answer at all.
    pool.tasks.fail(exchange.adoptTask('export'), toSimulatedFailure(error));
    return;
  }
  const task = exchange.adoptTask('VM.export');
  pool.tasks.setProgress(task, 0);
  const packer = packerFor(exchange);
  await withOperation(pool, task, 'VM', vm, 'export', async () => {
    await exchange.writeHead(exportHead(task));
    if (packer === undefined) await send(exchange, vm, task, (bytes) => exchange.write(bytes));
    else await sendPacked(exchange, vm, task, packer);
  });
  pool.tasks.succeed(task, '');
}

/** The reference a query asks for. Throws UUID_INVALID, or Not_found when it names nothing. */
export function exportedVm(exchange: Exchange): string {
  const ref = exchange.query.get('ref');
  if (ref !== null) return ref;
  const uuid = exchange.query.get('uuid');
  if (uuid === null) throw new SimulatedFailure('INTERNAL_ERROR', ['Not_found']);
  return exchange.pool.store.refByUuid('VM', uuid);
}

/** The SRs that a host must see to serve a VM. */
function storageOf(pool: SimulatedPool, vm: string): readonly string[] {
  const vdis = setOf(pool.store.get('VM', vm), 'VBDs')
    .map((vbd) => pool.store.get('VBD', vbd))
    .filter((vbd) => !flagOf(vbd, 'empty'))
    .map((vbd) => pool.store.find('VDI', textOf(vbd, 'VDI')));
  return [...new Set(vdis.flatMap((vdi) => (vdi === undefined ? [] : [textOf(vdi, 'SR')])))];
}

async function send(exchange: Exchange, vm: string, task: string, sink: ByteSink): Promise<void> {
  const { pool } = exchange;
  const { store } = pool;
  const format = archiveFormatOf(pool);
  const preservePowerState = exchange.query.get('preserve_power_state') === 'true';
  const detail = { withSnapshots: false, preservePowerState, withVmMetrics: format.withVmMetrics };
  const scope = { ...detail, vms: [vm], includeVhdParents: false, excludedDevices: [] };
  const table = collectExport(store, scope, exportIdsOf(pool));
  const version = archiveVersion(pool.datamodel, store.get('host', exchange.host));
  const ovaXml = writeOvaXml(store, pool.datamodel, table, version, detail);
  const disks = disksOf(store, vm, table, preservePowerState).map(({ id, vdi }) => ({
    id,
    vdi,
    content: contentOf(pool, vdi),
  }));
  const settings = dataPathSettings(pool);
  const detach = holdDisks(
    pool,
    exchange.host,
    disks.map(({ vdi }) => vdi),
    'RO',
  );
  try {
    await writeXva(
      { ovaXml, disks, checksum: format.checksum },
      {
        clock: pool.clock,
        keepAliveAfterMs: settings.keepAliveAfterMs,
        keepAliveChunks: settings.keepAliveChunks,
        onProgress: progressOf(pool, task),
      },
      sink,
    );
  } finally {
    detachAfter(pool, settings.detachDelayMs, detach);
  }
}

async function sendPacked(exchange: Exchange, vm: string, task: string, packer: Transform): Promise<void> {
  const pump = (async () => {
    for await (const piece of packer) await exchange.write(piece as Buffer);
  })();
  // Met again below; a failure of the client's end must also end the packer, or the writer would wait for ever.
  pump.catch((error: unknown) => packer.destroy(toSimulatedFailure(error)));
  try {
    await send(exchange, vm, task, (bytes) => packed(packer, bytes));
    packer.end();
    await pump;
  } catch (error) {
    packer.destroy();
    await pump.catch(() => undefined);
    throw error;
  }
}

function packed(packer: Transform, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    packer.write(bytes, (error) => {
      if (error) reject(toSimulatedFailure(error));
      else resolve();
    });
  });
}

/** Before XAPI 1.161 only the word `true` was known. */
function packerFor({ pool, query }: Exchange): Transform | undefined {
  const name = query.get('use_compression');
  if (name === 'true') return createGzip();
  if (!isSince(pool, '1.161.0')) return undefined;
  if (name === 'gzip') return createGzip();
  if (name !== 'zstd') return undefined;
  const create = zstd('createZstdCompress');
  if (create === undefined) throw new SimulatedFailure('INTERNAL_ERROR', ['zstd needs Node 22.15 or newer']);
  return create();
}
