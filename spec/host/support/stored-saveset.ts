import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { type SavesetRecord } from '../../../src/contract/index.js';
import { type DirectoryRepository } from '../../../src/host/repository/directory-repository.js';
import { savesetRecord } from '../../contract/support/saveset-record.js';
import { type SavesetWriter } from '../../../src/host/repository/saveset-writer.js';

export const noSignal: AbortSignal = new AbortController().signal;

export function descriptor(name: string): {
  name: string;
  kind: string;
  mediaType: string;
  expectedBytes: undefined;
  expectedIs: 'unknown';
} {
  return { name, kind: 'disk', mediaType: 'application/octet-stream', expectedBytes: undefined, expectedIs: 'unknown' };
}

export async function writeItem(writer: SavesetWriter, name: string, bytes: Buffer): Promise<void> {
  const stream = await writer.sink.openItem(descriptor(name), noSignal);
  stream.end(bytes);
  await once(stream, 'close');
}

/** A record about these items. */
export function recordOf(
  savesetId: string,
  items: Readonly<Record<string, Buffer>>,
  change: Partial<SavesetRecord> = {},
): SavesetRecord {
  return savesetRecord({
    savesetId,
    items: Object.entries(items).map(([name, bytes]) => ({
      name,
      kind: 'disk',
      mediaType: 'application/octet-stream',
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    })),
    disks: [],
    ...change,
  });
}

/** A finished saveset in a repository. */
export async function store(
  repository: DirectoryRepository,
  savesetId: string,
  change: Partial<SavesetRecord> = {},
  items: Readonly<Record<string, Buffer>> = { 'disk-0.img': Buffer.from('hello') },
): Promise<SavesetRecord> {
  const writer = await repository.begin(savesetId);
  for (const [name, bytes] of Object.entries(items)) await writeItem(writer, name, bytes);
  const record = recordOf(savesetId, items, change);
  await writer.commit(record);
  return record;
}
