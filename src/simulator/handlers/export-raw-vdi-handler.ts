import { MIB } from '../../common/byte-size.js';
import { contentOf } from '../behaviour/disks.js';
import { type Exchange } from '../http/handler.js';
import { redirectFor } from '../http/redirect.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { textOf } from '../wire/wire-value.js';
import { dataPathSettings } from './data-path-settings.js';
import { detachAfter, holdDisks } from './disk-hold.js';
import { rawExportHead, refusalHead } from './heads.js';
import { progressOf } from './task-progress.js';

/** GET /export_raw_vdi: the bytes of one disk (facts 4.6). The format `raw` is served; others are refused as unknown ones are. */
export async function handleExportRawVdi(exchange: Exchange): Promise<void> {
  const { pool } = exchange;
  const vdi = exportedVdi(pool, exchange.query.get('vdi'));
  if (await redirectFor(exchange, [textOf(pool.store.get('VDI', vdi), 'SR')])) return;
  const task = exchange.adoptTask('Export raw VDI');
  const format = exchange.query.get('format') ?? 'raw';
  if (format !== 'raw') {
    pool.tasks.fail(task, new SimulatedFailure('INTERNAL_ERROR', [`Unknown format ${format}`]));
    await exchange.writeHead(refusalHead('404 Not Found'));
    return;
  }
  const record = pool.store.get('VDI', vdi);
  await exchange.writeHead(rawExportHead(task, `${textOf(record, 'uuid')}.${format}`));
  if (textOf(record, 'type') === 'cbt_metadata') {
    throw new SimulatedFailure('VDI_INCOMPATIBLE_TYPE', [vdi, 'CBT metadata']);
  }
  await sendRaw(exchange, vdi, task);
  pool.tasks.succeed(task, '');
}

/** The reference of the disk that a query names, by reference or uuid. */
export function exportedVdi(pool: SimulatedPool, name: string | null): string {
  if (name === null) throw new SimulatedFailure('INTERNAL_ERROR', ['Not_found']);
  return pool.store.has('VDI', name) ? name : pool.store.refByUuid('VDI', name);
}

async function sendRaw(exchange: Exchange, vdi: string, task: string): Promise<void> {
  const { pool } = exchange;
  const content = contentOf(pool, vdi);
  const detach = holdDisks(pool, exchange.host, [vdi], 'RO');
  try {
    const onProgress = progressOf(pool, task);
    for (let offset = 0; offset < content.sizeBytes; offset += MIB) {
      await exchange.write(content.read(offset, Math.min(MIB, content.sizeBytes - offset)));
      onProgress(offset + MIB, content.sizeBytes);
    }
  } finally {
    detachAfter(pool, dataPathSettings(pool).detachDelayMs, detach);
  }
}
