import { contentOf, isInUse, updateVdiSpace } from '../behaviour/disks.js';
import { watchRoom } from '../behaviour/sr-space.js';
import { type DiskContent } from '../content/disk-content.js';
import { type Exchange } from '../http/handler.js';
import { redirectFor } from '../http/redirect.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { textOf } from '../wire/wire-value.js';
import { holdDisks } from './disk-hold.js';
import { exportedVdi } from './export-raw-vdi-handler.js';
import { importHead, refusalHead } from './heads.js';
import { progressOf } from './task-progress.js';

/**
 * PUT /import_raw_vdi: bytes over an existing disk, from its start (facts 4.6). The format `raw` is taken. The answer's
 * head goes out before the body is read; the task is the verdict.
 */
export async function handleImportRawVdi(exchange: Exchange): Promise<void> {
  const { pool, query } = exchange;
  const vdi = exportedVdi(pool, query.get('vdi'));
  if (await redirectFor(exchange, [textOf(pool.store.get('VDI', vdi), 'SR')])) return;
  const task = exchange.adoptTask('Import raw VDI');
  const format = query.get('format') ?? 'raw';
  if (exchange.headers.has('transfer-encoding') || format !== 'raw') {
    const reason = format === 'raw' ? 'Chunked encoding is not supported' : `Unknown format ${format}`;
    pool.tasks.fail(task, new SimulatedFailure('INTERNAL_ERROR', [reason]));
    await exchange.writeHead(refusalHead('404 Not Found'));
    return;
  }
  await exchange.writeHead(importHead(task));
  if (isInUse(pool, vdi)) throw new SimulatedFailure('VDI_IN_USE', [vdi, 'attach']);
  const detach = holdDisks(pool, exchange.host, [vdi], 'RW');
  try {
    const content = contentOf(pool, vdi);
    await receive(exchange, content, watchRoom(pool, vdi, content), progressOf(pool, task));
  } finally {
    detach();
    updateVdiSpace(pool, vdi);
  }
  pool.tasks.succeed(task, '');
}

async function receive(
  { body, contentLength }: Exchange,
  content: DiskContent,
  assertRoom: () => void,
  onProgress: (doneBytes: number, totalBytes: number) => void,
): Promise<void> {
  const wantedBytes = contentLength ?? content.sizeBytes;
  let offset = 0;
  for await (const piece of body) {
    content.write(offset, piece);
    assertRoom();
    offset += piece.length;
    onProgress(offset, wantedBytes);
  }
  if (offset < wantedBytes) throw new SimulatedFailure('VDI_IO_ERROR', ['Device I/O errors']);
}
