import { createGzip, gunzipSync } from 'node:zlib';
import { type Exchange } from '../http/handler.js';
import { SimulatedFailure, toSimulatedFailure } from '../simulated-failure.js';
import { readTarHeader, TAR_BLOCK_BYTES, tarPadding, writeTarHeader } from '../xva/tar-header.js';
import { bareHead } from './heads.js';
import { hostFiles, type HostFile } from './host-files.js';

const OLDEST_LAYOUT = 7;
const INVENTORY = 'etc/xensource-inventory';

/**
 * GET /host_backup: the files of the control domain of the host that is asked; it never sends on to another (facts 6.3).
 * A script makes it, which fails by fault: `bodyError` with BACKUP_SCRIPT_FAILED.
 */
export async function handleHostBackup(exchange: Exchange): Promise<void> {
  const { pool, host } = exchange;
  const task = exchange.adoptTask('Downloading host backup');
  await exchange.writeHead(bareHead('keep-alive'));
  const packer = createGzip();
  packer.end(tarOf(hostFiles(pool, host), Math.floor(pool.nowMs() / 1000)));
  for await (const piece of packer) await exchange.write(piece as Buffer);
  pool.tasks.succeed(task, '');
}

/**
 * PUT /host_restore: unpacks a backup on the backup partition of the host that is asked, to be used at the next boot from
 * the installer; noted in `hostRestores`. Throws RESTORE_SCRIPT_FAILED [log].
 */
export async function handleHostRestore(exchange: Exchange): Promise<void> {
  const { pool, host } = exchange;
  const task = exchange.adoptTask('Uploading host backup');
  await exchange.writeHead(bareHead());
  const pieces: Buffer[] = [];
  for await (const piece of exchange.body) pieces.push(piece);
  const archive = Buffer.concat(pieces);
  const files = filesIn(unpacked(archive));
  assertUsable(files);
  const fileNames = files.map(({ path }) => path);
  pool.hostRestores.push({ atMs: pool.nowMs(), host, sizeBytes: archive.length, fileNames });
  pool.tasks.succeed(task, '');
}

function tarOf(files: readonly HostFile[], mtimeSeconds: number): Buffer {
  const members = files.flatMap(({ path, content }) => {
    const header = Buffer.alloc(TAR_BLOCK_BYTES);
    writeTarHeader(header, 0, { name: path, sizeBytes: content.length, mtimeSeconds });
    return [header, content, Buffer.alloc(tarPadding(content.length))];
  });
  return Buffer.concat([...members, Buffer.alloc(2 * TAR_BLOCK_BYTES)]);
}

function unpacked(archive: Buffer): Buffer {
  try {
    return gunzipSync(archive);
  } catch (error) {
    throw scriptFailure(`gzip: ${toSimulatedFailure(error).params.join(' ')}`);
  }
}

function filesIn(tar: Buffer): readonly HostFile[] {
  const files: HostFile[] = [];
  for (let at = 0; ;) {
    const block = tar.subarray(at, at + TAR_BLOCK_BYTES);
    const header = block.length < TAR_BLOCK_BYTES ? undefined : readTarHeader(block);
    if (header === 'end') return files;
    if (header === undefined) throw scriptFailure('tar: Unexpected EOF in archive');
    at += TAR_BLOCK_BYTES;
    files.push({ path: header.name, content: tar.subarray(at, at + header.sizeBytes) });
    at += header.sizeBytes + tarPadding(header.sizeBytes);
  }
}

/** The layout of control domains changed with release 7. */
function assertUsable(files: readonly HostFile[]): void {
  const inventory = files.find(({ path }) => path === INVENTORY)?.content.toString();
  const major = /PRODUCT_VERSION='(\d+)/.exec(inventory ?? '')?.[1];
  if (major === undefined) throw scriptFailure('Unable to determine the version of the backup');
  if (Number(major) < OLDEST_LAYOUT) throw scriptFailure(`Unable to restore a backup of release ${major}`);
}

function scriptFailure(log: string): SimulatedFailure {
  return new SimulatedFailure('RESTORE_SCRIPT_FAILED', [log]);
}
