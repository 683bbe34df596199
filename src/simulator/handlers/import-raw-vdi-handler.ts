import { assertFeature, contentOf, createVdi, updateVdiSpace } from '../behaviour/disks.js';
import { isSparseSr, roomIn, watchRoom } from '../behaviour/sr-space.js';
import { type Exchange } from '../http/handler.js';
import { redirectFor } from '../http/redirect.js';
import { SimulatedFailure, toSimulatedFailure } from '../simulated-failure.js';
import { numberOf, textOf } from '../wire/wire-value.js';
import { attachToHost } from './disk-hold.js';
import { receiveChunked, receiveRaw, receiveTar, receiveVhd, type UploadTarget } from './disk-upload.js';
import { TAR_FOLDER } from './export-raw-vdi-handler.js';
import { importHead, refusalHead } from './heads.js';
import { type DiskFormat, diskNamed, formatOf, ioError, storageNamed, unknownFormat } from './raw-vdi-request.js';
import { percentOf, progressOf } from './task-progress.js';

/**
 * PUT /import_raw_vdi: bytes over an existing disk, or into one that it makes (facts 4.6). The answer's head goes out
 * before the body is read; the task is the verdict, its result the disk.
 */
export async function handleImportRawVdi(exchange: Exchange): Promise<void> {
  const { pool } = exchange;
  const wanted = diskNamed(exchange, 'vdi');
  if (await isSentOn(exchange, wanted)) return;
  const task = exchange.adoptTask('Importing raw VDI');
  let vdi: string;
  let format: DiskFormat;
  try {
    format = readableFormat(exchange);
    if (wanted === undefined && exchange.contentLength === 0) {
      // The probe of a client that only wants to know where to send: no disk is made for it.
      await exchange.writeHead(importHead(task));
      throw ioError();
    }
    vdi = wanted ?? makeDisk(exchange, format);
  } catch (thrown) {
    if (!(thrown instanceof Refused)) throw thrown;
    pool.tasks.fail(task, thrown);
    await exchange.writeHead(refusalHead(thrown.status, '1.0'));
    return;
  }
  await exchange.writeHead(importHead(task));
  const detach = attachToHost(pool, exchange.host, vdi, 'RW');
  try {
    await receive(exchange, vdi, format, task);
  } finally {
    detach();
    updateVdiSpace(pool, vdi);
  }
  pool.tasks.succeed(task, `<value>${vdi}</value>`);
}

/** A refusal with a status of its own; any other failure is a 500. */
class Refused extends SimulatedFailure {
  readonly status: '400 Bad Request' | '404 Not Found';

  constructor(status: '400 Bad Request' | '404 Not Found', text: string) {
    super('INTERNAL_ERROR', [text]);
    this.status = status;
  }
}

/** Answers with a redirect, or with 400 when nobody can tell where to. True when the handler must return. */
async function isSentOn(exchange: Exchange, vdi: string | undefined): Promise<boolean> {
  const { pool, query } = exchange;
  const failGivenTask = async (failure: SimulatedFailure): Promise<void> => {
    pool.tasks.fail(query.get('task_id') ?? '', failure);
    await exchange.writeHead(refusalHead('400 Bad Request'));
  };
  try {
    const sr = vdi === undefined ? storageNamed(exchange) : textOf(pool.store.get('VDI', vdi), 'SR');
    if (sr !== undefined) return await redirectFor(exchange, [sr]);
  } catch (thrown) {
    await failGivenTask(toSimulatedFailure(thrown));
    throw thrown;
  }
  await failGivenTask(new SimulatedFailure('VDI_MISSING'));
  return true;
}

/** The format of the body; throws Refused for what XAPI cannot read. */
function readableFormat(exchange: Exchange): DiskFormat {
  const format = formatOf(exchange);
  if (format === undefined) throw new Refused('404 Not Found', unknownFormat(exchange));
  if (format !== 'raw' && exchange.query.has('chunked')) {
    throw new Refused('404 Not Found', 'Cannot handle chunked VHD');
  }
  const encoding = exchange.headers.get('transfer-encoding');
  if (encoding !== undefined) throw new Refused('404 Not Found', `Cannot handle encoding: ${encoding}`);
  return format;
}

function makeDisk(exchange: Exchange, format: DiskFormat): string {
  const { pool, contentLength } = exchange;
  const sr = storageNamed(exchange);
  if (format === 'vhd') throw new Refused('400 Bad Request', 'Importing a VHD directly into an SR not yet supported');
  if (format !== 'raw' || contentLength === undefined || sr === undefined) {
    throw new Refused('400 Bad Request', 'Not enough info supplied to import');
  }
  assertFeature(pool, sr, 'VDI_CREATE');
  return createVdi(pool, { SR: sr, virtual_size: contentLength, fields: { name_label: 'Imported VDI', type: 'user' } });
}

async function receive(exchange: Exchange, vdi: string, format: DiskFormat, task: string): Promise<void> {
  const { pool, body, contentLength } = exchange;
  const content = contentOf(pool, vdi);
  const record = pool.store.get('VDI', vdi);
  const sr = textOf(record, 'SR');
  const onProgress = (format === 'tar' ? progressOf : percentOf)(pool, task);
  const target: UploadTarget = { content, assertRoom: watchRoom(pool, vdi, content), onProgress };
  const lengthBytes = contentLength ?? numberOf(record, 'virtual_size');
  if (format === 'vhd') await receiveVhd(body, lengthBytes, target);
  else if (format === 'tar') {
    const roomBytes = isSparseSr(pool.store.get('SR', sr)) ? roomIn(pool, sr) : Number.POSITIVE_INFINITY;
    await receiveTar(body, TAR_FOLDER, roomBytes, target);
  } else if (exchange.query.has('chunked')) await receiveChunked(body, target);
  else await receiveRaw(body, lengthBytes, target);
}
