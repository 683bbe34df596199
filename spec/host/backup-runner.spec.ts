import { expect } from 'chai';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { EMPTY, Observable, of, throwError } from 'rxjs';
import {
  BackupError,
  type BackupEvent,
  type BackupRequest,
  type BackupSink,
  type BackupSource,
  type RestoreHandler,
  type RestoreMedia,
} from '../../src/contract/index.js';
import { newSavesetId, runBackup } from '../../src/host/backup-runner.js';
import { DirectoryRepository } from '../../src/host/repository/directory-repository.js';
import { type OpenItemHandle, openNewFile } from '../../src/host/repository/item-file.js';
import { runRestore } from '../../src/host/restore-runner.js';
import { expectCode } from '../contract/support/run-operation.js';
import { savesetRecord } from '../contract/support/saveset-record.js';
import { descriptor, noSignal, recordOf } from './support/stored-saveset.js';
import { useTemporaryFolder } from './support/temporary-folder.js';

const target = { path: 'vm/m1', kind: 'vm', id: 'm1', displayName: 'Web & Co.' };
const bytes = Buffer.alloc(100_000, 'x');

type Backup = (request: BackupRequest, sink: BackupSink) => Observable<BackupEvent>;

/** A source of which only the backup matters; it notes what it is told afterwards. */
class ScriptedSource {
  readonly settled: string[] = [];
  settleError: Error | undefined;

  constructor(readonly backup: Backup) {}

  settle(_record: unknown, outcome: string): Promise<void> {
    this.settled.push(outcome);
    return this.settleError === undefined ? Promise.resolve() : Promise.reject(this.settleError);
  }

  get source(): BackupSource {
    return this as unknown as BackupSource;
  }
}

/** Writes one item and tells a record about it, perhaps a wrong one. */
const honest =
  (change: object = {}): Backup =>
  (request, sink) =>
    new Observable((subscriber) => {
      const work = async (): Promise<void> => {
        subscriber.next({ type: 'phase-entered', atMs: 1, phase: 'transfer' });
        const stream = await sink.openItem(descriptor('x'), noSignal);
        await new Promise<void>((resolve, reject) => {
          stream.once('error', reject);
          stream.end(bytes, resolve);
        });
        const record = { ...recordOf(request.savesetId, { x: bytes }), ...change };
        subscriber.next({
          type: 'completed',
          atMs: 2,
          report: { record, transferredBytes: bytes.length, elapsedMs: 1 },
        });
        subscriber.complete();
      };
      work().catch((error: unknown) => {
        subscriber.error(error);
      });
    });

describe('runBackup', () => {
  const folder = useTemporaryFolder();
  const savesets = (): string[] => readdirSync(join(folder(), 'savesets'));
  const openRepository = (openHandle: OpenItemHandle = openNewFile): Promise<DirectoryRepository> =>
    DirectoryRepository.open(folder(), { create: true, openHandle });

  it('stores first, settles then, and says completed last', async () => {
    const scripted = new ScriptedSource(honest());
    const seen: string[] = [];
    const repository = await openRepository();
    const report = await runBackup({
      source: scripted.source,
      target,
      repository,
      onEvent: ({ type }) => seen.push(`${type} after ${scripted.settled.length} settlements`),
    });
    expect(seen).to.deep.equal(['phase-entered after 0 settlements', 'completed after 1 settlements']);
    expect(scripted.settled).to.deep.equal(['stored']);
    expect(savesets()).to.deep.equal([report.record.savesetId]);
    expect((await repository.read(report.record.savesetId)).items).to.deep.equal(report.record.items);
  });

  it('discards when the record does not fit what was written', async () => {
    const scripted = new ScriptedSource(honest({ items: [] }));
    const job = { source: scripted.source, target, repository: await openRepository(), onEvent: () => undefined };
    await expectCode(runBackup(job), 'SAVESET_INVALID');
    expect(scripted.settled).to.deep.equal(['discarded']);
    expect(savesets()).to.deep.equal([]);
  });

  it('leaves nothing when the source fails, and passes its error on', async () => {
    const scripted = new ScriptedSource(() => throwError(() => new BackupError('SNAPSHOT_FAILED', 'No snapshot.')));
    const job = { source: scripted.source, target, repository: await openRepository(), onEvent: () => undefined };
    await expectCode(runBackup(job), 'SNAPSHOT_FAILED');
    expect(scripted.settled).to.deep.equal([]);
    expect(savesets()).to.deep.equal([]);
  });

  it('makes a foreign error INTERNAL, and a source without a report too', async () => {
    const repository = await openRepository();
    for (const backup of [
      () => throwError(() => new TypeError('oops')),
      () => throwError(() => 'a string'),
      () => of<BackupEvent>({ type: 'phase-entered', atMs: 1, phase: 'check' }),
      () => EMPTY,
    ]) {
      const { source } = new ScriptedSource(backup);
      await expectCode(runBackup({ source, target, repository, onEvent: () => undefined }), 'INTERNAL');
    }
    expect(savesets()).to.deep.equal([]);
  });

  it('says MEDIUM_FULL when the repository is full, whatever the source makes of it', async () => {
    const full: OpenItemHandle = async (path) => {
      const handle = await openNewFile(path);
      const fail = (): Promise<never> => Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' }));
      return { writev: fail, sync: () => handle.sync(), close: () => handle.close() };
    };
    const { source } = new ScriptedSource(honest());
    const error = await expectCode(
      runBackup({ source, target, repository: await openRepository(full), onEvent: () => undefined }),
      'MEDIUM_FULL',
    );
    expect(error.hint).to.contain('prune');
    expect(savesets()).to.deep.equal([]);
  });

  it('keeps a cancellation a cancellation', async () => {
    const denied: OpenItemHandle = () => Promise.reject(Object.assign(new Error('no'), { code: 'EIO' }));
    const backup: Backup = (_request, sink) =>
      new Observable((subscriber) => {
        sink.openItem(descriptor('x'), noSignal).catch(() => {
          subscriber.error(new BackupError('CANCELLED', 'Cancelled.'));
        });
      });
    const { source } = new ScriptedSource(backup);
    await expectCode(
      runBackup({ source, target, repository: await openRepository(denied), onEvent: () => undefined }),
      'CANCELLED',
    );
  });

  it('warns when the source cannot note a saveset that is stored', async () => {
    const scripted = new ScriptedSource(honest());
    scripted.settleError = new BackupError('SOURCE_UNREACHABLE', 'It is gone.');
    const events: BackupEvent[] = [];
    await runBackup({
      source: scripted.source,
      target,
      repository: await openRepository(),
      onEvent: (event) => events.push(event),
    });
    expect(events.flatMap((event) => (event.type === 'warning' ? [event.code] : []))).to.deep.equal(['SETTLE_FAILED']);
    expect(savesets()).to.have.length(1);
  });

  it('refuses a saveset id that is taken before the source hears of it', async () => {
    const repository = await openRepository();
    const scripted = new ScriptedSource(honest());
    const job = { source: scripted.source, target, repository, savesetId: 'same', onEvent: () => undefined };
    await runBackup(job);
    await expectCode(runBackup(job), 'TARGET_EXISTS');
    expect(savesets()).to.deep.equal(['same']);
  });
});

describe('newSavesetId', () => {
  const atMs = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
  const random = Buffer.from('0a1b2c', 'hex');
  const cases: readonly (readonly [name: string, id: string])[] = [
    ['web-1', 'web-1-20260102T030405Z-0a1b2c'],
    ['Web & Co.', 'Web-Co-20260102T030405Z-0a1b2c'],
    ['Bücher', 'Bu-cher-20260102T030405Z-0a1b2c'],
    ['データ', 'saveset-20260102T030405Z-0a1b2c'],
    ['../../etc', 'etc-20260102T030405Z-0a1b2c'],
    ['', 'saveset-20260102T030405Z-0a1b2c'],
  ];
  for (const [name, id] of cases) {
    it(`of "${name}" is ${id}`, () => {
      expect(newSavesetId(name, atMs, random)).to.equal(id);
    });
  }

  it('is new each time, and never too long', () => {
    expect(newSavesetId('x'.repeat(5000), atMs)).to.match(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);
    expect(newSavesetId('x', atMs)).to.not.equal(newSavesetId('x', atMs));
  });
});

describe('runRestore', () => {
  const media: RestoreMedia = { record: savesetRecord(), openItem: () => Promise.reject(new TypeError('unused')) };
  const request = { mode: 'new', name: 'x' } as const;
  const handler = (restore: RestoreHandler['restore']): RestoreHandler => ({
    id: 'h',
    kinds: ['vm'],
    planRestore: () => Promise.reject(new TypeError('unused')),
    restore,
  });

  it('passes events on and gives the report', async () => {
    const report = {
      targetId: 'm2',
      targetName: 'x',
      mode: 'new',
      isRunning: false,
      transferredBytes: 1,
      elapsedMs: 1,
      warnings: [],
    } as const;
    const seen: string[] = [];
    const restore = () =>
      of({ type: 'phase-entered', atMs: 1, phase: 'plan' } as const, { type: 'completed', atMs: 2, report } as const);
    expect(
      await runRestore({ handler: handler(restore), media, request, onEvent: ({ type }) => seen.push(type) }),
    ).to.equal(report);
    expect(seen).to.deep.equal(['phase-entered', 'completed']);
  });

  it('turns failures into errors of the contract', async () => {
    const failing = (error: unknown) => handler(() => throwError(() => error as Error));
    const job = { media, request, onEvent: () => undefined };
    await expectCode(
      runRestore({ ...job, handler: failing(new BackupError('STORAGE_FULL', 'Full up.')) }),
      'STORAGE_FULL',
    );
    await expectCode(runRestore({ ...job, handler: failing(new TypeError('oops')) }), 'INTERNAL');
    const silent = handler(() => of({ type: 'phase-entered', atMs: 1, phase: 'plan' } as const));
    await expectCode(runRestore({ ...job, handler: silent }), 'INTERNAL');
  });
});
