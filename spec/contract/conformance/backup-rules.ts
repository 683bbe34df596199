import { expect } from 'chai';
import {
  BACKUP_PHASES,
  type BackupEvent,
  type BackupRequest,
  parseSavesetRecord,
} from '../../../src/contract/index.js';
import { type OpenedSubject } from '../backup-source-conformance.js';
import { digestOf, RecordingSink } from '../support/recording-sink.js';
import { errorOf, eventsOf, expectCode, reportOf } from '../support/run-operation.js';

const EVENT_TYPES = [
  'phase-entered',
  'item-started',
  'progress',
  'warning',
  'level-decided',
  'item-completed',
  'completed',
];
/** More than this may not wait in a sink that is slow. */
const BUFFER_LIMIT_BYTES = 2 * 1024 * 1024;

const pick = <T extends BackupEvent['type']>(
  events: readonly BackupEvent[],
  type: T,
): Extract<BackupEvent, { type: T }>[] =>
  events.filter((event): event is Extract<BackupEvent, { type: T }> => event.type === type);

function expectMonotonic(samples: readonly number[], what: string): void {
  samples.reduce((before, now) => {
    expect(now, what).to.be.at.least(before);
    return now;
  }, 0);
}

export function describeBackup(current: () => OpenedSubject): void {
  describe('backup', () => {
    it('does nothing before it is subscribed to', async () => {
      const { source, subject, request } = current();
      const sink = new RecordingSink();
      source.backup(request(subject.runningMachine), sink);
      await source.resolve([subject.runningMachine]);
      expect(sink.descriptors).to.deep.equal([]);
      expect(await subject.leftovers({ isClosed: false })).to.deep.equal([]);
    });

    it('tells events in order: phases, items, progress, and completed last and once', async () => {
      const { source, subject, request } = current();
      const events = await eventsOf(source.backup(request(subject.runningMachine), new RecordingSink()));
      expect(EVENT_TYPES).to.include.members([...new Set(events.map(({ type }) => type))]);
      expect(events[0]!.type).to.equal('phase-entered');
      expect(events.filter(({ type }) => type === 'completed')).to.have.length(1);
      expect(events.at(-1)!.type).to.equal('completed');
      expectMonotonic(
        events.map(({ atMs }) => atMs),
        'time of events',
      );
      const phases = pick(events, 'phase-entered').map(({ phase }) => BACKUP_PHASES.indexOf(phase));
      expectMonotonic(phases, 'phases');
      expect(phases).to.not.include(-1);
    });

    it('counts progress that only grows and ends at the bytes of the item', async () => {
      const { source, subject, request } = current();
      const sink = new RecordingSink();
      const events = await eventsOf(source.backup(request(subject.runningMachine), sink));
      expectMonotonic(
        pick(events, 'progress').map(({ totalProgress }) => totalProgress.doneBytes),
        'total',
      );
      for (const [name, bytes] of sink.items) {
        const positions = (type: string): number[] =>
          events.flatMap((event, index) =>
            'item' in event && event.item === name && event.type === type ? [index] : [],
          );
        const samples = pick(events, 'progress').filter(({ item }) => item === name);
        expect(positions('item-started')).to.have.length(1);
        expect(positions('item-completed')).to.have.length(1);
        expect(positions('progress')[0]!).to.be.greaterThan(positions('item-started')[0]!);
        expect(positions('progress').at(-1)!).to.be.lessThan(positions('item-completed')[0]!);
        expectMonotonic(
          samples.map(({ itemProgress }) => itemProgress.doneBytes),
          name,
        );
        expect(samples.at(-1)!.itemProgress.doneBytes).to.equal(bytes.length);
      }
    });

    it('gives a record that is valid, and digests of exactly the bytes given', async () => {
      const { source, subject, request, provider } = current();
      for (const path of [subject.runningMachine, subject.haltedMachine]) {
        const sink = new RecordingSink();
        const asked: BackupRequest = request(path);
        const events = await eventsOf(source.backup(asked, sink));
        const { record, transferredBytes } = pick(events, 'completed')[0]!.report;
        expect(parseSavesetRecord(JSON.stringify(record))).to.deep.equal(record);
        expect(record.savesetId).to.equal(asked.savesetId);
        expect(record.providerId).to.equal(provider.id);
        expect(record.source.path).to.equal(path);
        expect(provider.capabilities.consistencies).to.include(record.consistency);
        const given = [...sink.items].map(([name, bytes]) => ({ name, bytes: bytes.length, sha256: digestOf(bytes) }));
        expect(record.items.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 }))).to.have.deep.members(given);
        expect(
          pick(events, 'item-completed').map(({ item, bytes, sha256 }) => ({ name: item, bytes, sha256 })),
        ).to.have.deep.members(given);
        expect(transferredBytes).to.be.at.least(sink.totalBytes);
        expect(record.items.map(({ name }) => name)).to.include.members(record.disks.map(({ item }) => item));
      }
    });

    it('opens no more items at once than the sink allows, and leaves none open', async () => {
      const { source, subject, request } = current();
      const sink = new RecordingSink({ maxOpenItems: 1 });
      await eventsOf(source.backup(request(subject.runningMachine), sink));
      expect(sink.mostOpen).to.equal(1);
      expect(sink.openNow).to.equal(0);
    });

    it('keeps little in memory when the sink is slow', async () => {
      const { source, subject, request } = current();
      const sink = new RecordingSink({ turnsPerWrite: 5 });
      await eventsOf(source.backup(request(subject.runningMachine), sink));
      expect(sink.mostBuffered).to.be.lessThan(Math.min(BUFFER_LIMIT_BYTES, sink.totalBytes / 2));
    });

    it('fails with MEDIUM_FULL when the sink is full, and leaves nothing', async () => {
      const { source, subject, request } = current();
      const sink = new RecordingSink({ failAfterBytes: 100_000 });
      const seen: BackupEvent[] = [];
      const error = await errorOf(source.backup(request(subject.runningMachine), sink), seen);
      expect(error.code, error.message).to.equal('MEDIUM_FULL');
      expect(seen.some(({ type }) => type === 'completed')).to.equal(false);
      expect(sink.openNow).to.equal(0);
      expect(sink.items.size).to.equal(0);
      expect(await subject.leftovers({ isClosed: false })).to.deep.equal([]);
    });

    it('fails for a source that is unknown or ambiguous before any item is opened', async () => {
      const { source, subject, request } = current();
      const sink = new RecordingSink();
      expect((await errorOf(source.backup(request(subject.unknownName), sink))).code).to.equal('OBJECT_NOT_FOUND');
      expect((await errorOf(source.backup(request(subject.ambiguousName), sink))).code).to.equal('OBJECT_AMBIGUOUS');
      expect(sink.descriptors).to.deep.equal([]);
    });

    it('refuses a level that the capabilities do not list', async () => {
      const { source, subject, request, provider } = current();
      const missing = (['incremental', 'differential', 'copy'] as const).find(
        (level) => !provider.capabilities.levels.includes(level),
      );
      if (missing === undefined) return;
      const error = await errorOf(
        source.backup(request(subject.haltedMachine, { level: missing }), new RecordingSink()),
      );
      expect(['REQUEST_INVALID', 'OBJECT_NOT_SUPPORTED'], error.message).to.include(error.code);
    });

    it('fails after close', async () => {
      const { source, subject, request } = current();
      await source.close();
      const error = await errorOf(source.backup(request(subject.runningMachine), new RecordingSink()));
      expect(error.code).to.equal('REQUEST_INVALID');
    });
  });

  describe('settle', () => {
    it('may be repeated, with either word', async () => {
      const { source, subject, request } = current();
      const backUp = async () => reportOf(source.backup(request(subject.haltedMachine), new RecordingSink()));
      const { record } = await backUp();
      await source.settle(record, 'stored');
      await source.settle(record, 'stored');
      const second = await backUp();
      await source.settle(second.record, 'discarded');
      await source.settle(second.record, 'discarded');
      expect(await subject.leftovers({ isClosed: false })).to.deep.equal([]);
    });

    it('is refused after close', async () => {
      const { source, subject, request } = current();
      const { record } = await reportOf(source.backup(request(subject.haltedMachine), new RecordingSink()));
      await source.close();
      await expectCode(source.settle(record, 'stored'), 'REQUEST_INVALID');
    });
  });
}
