import { expect } from 'chai';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import {
  BackupError,
  type BackupSourceProvider,
  type DiskReadRequest,
  isBackupError,
  type RestoreEvent,
  type RestoreMedia,
} from '../../src/contract/index.js';
import { restoreDiskToFile } from '../../src/host/disk-file.js';
import { savesetRecord } from '../contract/support/saveset-record.js';
import { useTemporaryFolder } from './support/temporary-folder.js';

const KIB = 1024;
/** Data, a hole, data that begins in the middle of a block, and a hole at the end. */
const DISK = Buffer.alloc(2048 * KIB);
DISK.fill(1, 0, 100 * KIB);
DISK.fill(2, 900 * KIB + 7, 1000 * KIB);

const media: RestoreMedia = {
  record: savesetRecord(),
  openItem: () => Promise.reject(new BackupError('INTERNAL', 'The host opens no item by itself.')),
};

async function* pieces(bytes: Buffer, size: number, failure?: Error): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve();
    yield bytes.subarray(at, at + size);
  }
  if (failure !== undefined) throw failure;
}

describe('restoreDiskToFile', () => {
  const folder = useTemporaryFolder();
  const asked: DiskReadRequest[] = [];
  const providerOf = (content: () => AsyncGenerator<Buffer>, bytes = DISK.length): BackupSourceProvider => ({
    id: 'memory',
    displayName: 'Memory',
    capabilities: {
      kinds: [],
      levels: [],
      consistencies: [],
      restoreModes: [],
      canBrowse: false,
      canEstimate: false,
      canReconcile: false,
    },
    configSchema: {},
    open: () => Promise.reject(new BackupError('INTERNAL', 'No client is asked.')),
    readDisk: (request) => {
      asked.push(request);
      return Promise.resolve({ stream: Readable.from(content()), bytes });
    },
  });
  const path = (): string => join(folder(), 'disks', 'root.raw');
  const restore = (
    provider: BackupSourceProvider,
    more: { readonly signal?: AbortSignal; readonly onEvent?: (event: RestoreEvent) => void } = {},
  ): ReturnType<typeof restoreDiskToFile> =>
    restoreDiskToFile({
      provider,
      media,
      disk: '0',
      format: 'raw',
      path: path(),
      signal: new AbortController().signal,
      onEvent: () => undefined,
      ...more,
    });
  const codeOf = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => 'it succeeded',
      (error: unknown) => (isBackupError(error) ? error.code : error),
    );

  beforeEach(() => {
    mkdirSync(join(folder(), 'disks'));
  });

  for (const size of [1000, 64 * KIB, 300 * KIB, DISK.length]) {
    it(`writes the disk with holes where it is zero, in pieces of ${size} bytes`, async () => {
      const report = await restore(providerOf(() => pieces(DISK, size)));
      expect(report).to.include({ targetName: path(), mode: 'disk', transferredBytes: DISK.length });
      expect(readFileSync(path()).equals(DISK)).to.equal(true);
      expect(statSync(path()).blocks * 512).to.be.lessThan(500 * KIB);
      expect(readdirSync(join(folder(), 'disks'))).to.deep.equal(['root.raw']);
      expect(asked.at(-1)).to.deep.include({ disk: '0', format: 'raw' });
    });
  }

  it('tells how far it is, and ends with the report', async () => {
    const events: RestoreEvent[] = [];
    await restore(
      providerOf(() => pieces(DISK, 64 * KIB)),
      { onEvent: (event) => events.push(event) },
    );
    const types = events.map(({ type }) => type).filter((type) => type !== 'progress');
    expect(types).to.deep.equal(['phase-entered', 'item-started', 'phase-entered', 'completed']);
    const last = events.findLast((event) => event.type === 'progress');
    expect(last).to.deep.include({
      totalProgress: { doneBytes: DISK.length, expectedBytes: DISK.length, expectedIs: 'exact' },
    });
  });

  it('leaves no file when the disk does not prove right, is too short, or it is cancelled', async () => {
    const damage = new BackupError('DATA_DAMAGED', 'The last block is wrong.');
    expect(await codeOf(restore(providerOf(() => pieces(DISK, 64 * KIB, damage))))).to.equal('DATA_DAMAGED');
    expect(await codeOf(restore(providerOf(() => pieces(DISK.subarray(1), 64 * KIB))))).to.equal('INTERNAL');
    const abort = new AbortController();
    const cancelled = new BackupError('CANCELLED', 'Ctrl-C');
    const onEvent = (event: RestoreEvent): void => {
      if (event.type === 'item-started') abort.abort(cancelled);
    };
    const work = restore(
      providerOf(() => pieces(DISK, 64 * KIB)),
      { signal: abort.signal, onEvent },
    );
    expect(await codeOf(work)).to.equal('CANCELLED');
    expect(readdirSync(join(folder(), 'disks'))).to.deep.equal([]);
  });

  it('touches no file that is there, and asks no provider whose savesets have no disks', async () => {
    writeFileSync(path(), 'mine');
    expect(await codeOf(restore(providerOf(() => pieces(DISK, 64 * KIB))))).to.equal('TARGET_EXISTS');
    expect(readFileSync(path(), 'utf8')).to.equal('mine');
    const all = providerOf(() => pieces(DISK, 64 * KIB));
    const without = Object.fromEntries(Object.entries(all).filter(([key]) => key !== 'readDisk'));
    expect(await codeOf(restore(without as unknown as BackupSourceProvider))).to.equal('OBJECT_NOT_SUPPORTED');
  });
});
