import { expect } from 'chai';
import { lastValueFrom } from 'rxjs';
import {
  type RestoreEvent,
  RESTORE_PHASES,
  type RestoreRequest,
  type SavesetRecord,
} from '../../../src/contract/index.js';
import { type OpenedSubject } from '../backup-source-conformance.js';
import { RecordingSink } from '../support/recording-sink.js';
import { errorOf, eventsOf, expectCode, reportOf } from '../support/run-operation.js';

interface Saved {
  readonly sink: RecordingSink;
  readonly record: SavesetRecord;
  /** Digest of the disks at the moment of the backup. */
  readonly disks: string;
}

async function save({ source, subject, request }: OpenedSubject): Promise<Saved> {
  const sink = new RecordingSink();
  const { record } = await reportOf(source.backup(request(subject.haltedMachine), sink));
  await source.settle(record, 'stored');
  return { sink, record, disks: await subject.readDisks(record.source.id) };
}

export function describeRestore(current: () => OpenedSubject): void {
  const asNew = (more: Partial<RestoreRequest> = {}): RestoreRequest => {
    const { options } = current().subject;
    return { mode: 'new', name: 'brought back', ...(options === undefined ? {} : { options }), ...more };
  };
  const overwrite = (): RestoreRequest => {
    const { options } = current().subject;
    return { mode: 'overwrite', ...(options === undefined ? {} : { options }) };
  };

  describe('planRestore', () => {
    it('says what would happen and changes nothing', async () => {
      const { source, subject } = current();
      const { record } = await save(current());
      const before = await subject.machineIds();
      const plan = await source.planRestore(asNew(), record);
      expect(plan).to.include({ mode: 'new', targetName: 'brought back', targetId: undefined });
      expect(plan.steps).to.not.be.empty;
      expect(plan.steps.some(({ isDestructive }) => isDestructive)).to.equal(false);
      expect((await source.planRestore(overwrite(), record)).targetId).to.equal(record.source.id);
      expect(await subject.machineIds()).to.have.members(before);
    });

    it('refuses as restore does', async () => {
      const { source } = current();
      const { record, sink } = await save(current());
      const nameless = { mode: 'new' } as const;
      await expectCode(source.planRestore(nameless, record), 'TARGET_NAME_REQUIRED');
      expect((await errorOf(source.restore(nameless, sink.media(record)))).code).to.equal('TARGET_NAME_REQUIRED');
      const renamed = { ...overwrite(), name: 'another name' };
      await expectCode(source.planRestore(renamed, record), 'REQUEST_INVALID');
      expect((await errorOf(source.restore(renamed, sink.media(record)))).code).to.equal('REQUEST_INVALID');
      await expectCode(
        source.planRestore(asNew(), { ...record, providerId: 'another' }),
        'SAVESET_INVALID',
        'OBJECT_NOT_SUPPORTED',
      );
    });
  });

  describe('restore', () => {
    it('does nothing before it is subscribed to', async () => {
      const { source, subject } = current();
      const { record, sink } = await save(current());
      const before = await subject.machineIds();
      source.restore(asNew(), sink.media(record));
      await source.check();
      expect(await subject.machineIds()).to.have.members(before);
    });

    it('makes a new machine with the same bytes and touches no other', async () => {
      const { source, subject } = current();
      const { record, sink, disks } = await save(current());
      const before = await subject.machineIds();
      const { targetId, targetName, mode } = await reportOf(source.restore(asNew(), sink.media(record)));
      expect({ targetName, mode }).to.deep.equal({ targetName: 'brought back', mode: 'new' });
      expect(await subject.machineIds()).to.have.members([...before, targetId!]);
      expect(await subject.readDisks(targetId!)).to.equal(disks);
      expect(await subject.readDisks(record.source.id)).to.equal(disks);
      expect(await subject.leftovers({ isClosed: false })).to.deep.equal([]);
    });

    it('tells events in order', async () => {
      const { source } = current();
      const { record, sink } = await save(current());
      const events = await eventsOf<RestoreEvent>(source.restore(asNew(), sink.media(record)));
      expect(events[0]!.type).to.equal('phase-entered');
      expect(events.map(({ type }) => type).indexOf('completed')).to.equal(events.length - 1);
      const phases = events.flatMap((event) =>
        event.type === 'phase-entered' ? [RESTORE_PHASES.indexOf(event.phase)] : [],
      );
      expect(phases).to.deep.equal([...phases].sort((a, b) => a - b));
      const completed = events.flatMap((event) => (event.type === 'item-completed' ? [event.item] : []));
      expect(record.items.map(({ name }) => name)).to.include.members(completed);
    });

    it('overwrites: the machine keeps its id and gets the bytes of the backup', async () => {
      const { source, subject } = current();
      const { record, sink, disks } = await save(current());
      const before = await subject.machineIds();
      await subject.changeDisks(record.source.id);
      expect(await subject.readDisks(record.source.id)).to.not.equal(disks);
      const { targetId, mode } = await reportOf(source.restore(overwrite(), sink.media(record)));
      expect({ targetId, mode }).to.deep.equal({ targetId: record.source.id, mode: 'overwrite' });
      expect(await subject.machineIds()).to.have.members(before);
      expect(await subject.readDisks(record.source.id)).to.equal(disks);
      expect(await subject.leftovers({ isClosed: false })).to.deep.equal([]);
    });

    it('brings one disk back alone and gives it to what exists, if it says that it can', async () => {
      const { source, subject, provider } = current();
      const { record, sink, disks } = await save(current());
      const [first] = record.disks;
      const before = await subject.machineIds();
      const canDo = provider.capabilities.restoreModes.includes('disk') && first !== undefined;
      const asDisk: RestoreRequest = {
        mode: 'disk',
        disk: first?.position ?? '0',
        name: 'brought back alone',
        attachTo: record.source.path,
      };
      if (!canDo) {
        await expectCode(source.planRestore(asDisk, record), 'REQUEST_INVALID');
        expect((await errorOf(source.restore(asDisk, sink.media(record)))).code).to.equal('REQUEST_INVALID');
        return;
      }
      const plan = await source.planRestore(asDisk, record);
      expect(plan).to.include({ mode: 'disk', targetName: 'brought back alone' });
      expect(plan.steps.some(({ isDestructive }) => isDestructive)).to.equal(false);
      expect(await subject.readDisks(record.source.id)).to.equal(disks);
      const { mode, targetName, targetId } = await reportOf(source.restore(asDisk, sink.media(record)));
      expect({ mode, targetName }).to.deep.equal({ mode: 'disk', targetName: 'brought back alone' });
      expect(targetId).to.not.equal(undefined);
      expect(await subject.machineIds()).to.have.members(before);
      expect(await subject.readDisks(record.source.id)).to.not.equal(disks);
      await expectCode(source.planRestore({ mode: 'disk', disk: 'no such disk' }, record), 'REQUEST_INVALID');
      expect(await subject.leftovers({ isClosed: false })).to.deep.equal([]);
    });

    const damages: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
      'with a flipped bit in the middle': (bytes) => {
        const at = Math.floor(bytes.length / 2);
        bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
        return bytes;
      },
      'that end too early': (bytes) => bytes.subarray(0, -1000),
      'with bytes after the end': (bytes) => Buffer.concat([bytes, Buffer.alloc(512)]),
    };
    for (const [what, damage] of Object.entries(damages)) {
      it(`refuses media ${what}, and leaves everything as it was`, async () => {
        const { source, subject } = current();
        const { record, sink, disks } = await save(current());
        const before = await subject.machineIds();
        for (const request of [asNew(), overwrite()]) {
          const error = await errorOf(source.restore(request, sink.media(record, damage)));
          expect(error.code, error.message).to.equal('DATA_DAMAGED');
        }
        expect(await subject.machineIds()).to.have.members(before);
        expect(await subject.readDisks(record.source.id)).to.equal(disks);
        expect(await subject.leftovers({ isClosed: false })).to.deep.equal([]);
      });
    }

    it('is cancelled by the signal, and leaves everything as it was', async () => {
      const { source, subject } = current();
      const { record, sink, disks } = await save(current());
      const before = await subject.machineIds();
      for (const request of [asNew(), overwrite()]) {
        const abort = new AbortController();
        const cancelling = sink.media(record, undefined, () => {
          abort.abort();
        });
        const error = await errorOf(source.restore({ ...request, signal: abort.signal }, cancelling));
        expect(error.code, error.message).to.equal('CANCELLED');
      }
      expect(await subject.machineIds()).to.have.members(before);
      expect(await subject.readDisks(record.source.id)).to.equal(disks);
      expect(await subject.leftovers({ isClosed: false })).to.deep.equal([]);
    });

    it('is refused after close', async () => {
      const { source } = current();
      const { record, sink } = await save(current());
      await source.close();
      expect((await errorOf(source.restore(asNew(), sink.media(record)))).code).to.equal('REQUEST_INVALID');
      await expectCode(source.planRestore(asNew(), record), 'REQUEST_INVALID');
    });

    it('is offered as a restore handler of its own too', async () => {
      const { subject } = current();
      const { record, sink, disks } = await save(current());
      const handlers = subject.contributions.restoreHandlers.filter(
        ({ providerId, kinds }) => providerId === record.providerId && kinds.includes(record.source.kind),
      );
      for (const contribution of handlers) {
        const opened = await contribution.open(subject.client);
        expect(opened.value.kinds).to.deep.equal(contribution.kinds);
        const last = await lastValueFrom(opened.value.restore(asNew(), sink.media(record)));
        if (last.type !== 'completed') expect.fail(last.type);
        expect(await subject.readDisks(last.report.targetId!)).to.equal(disks);
        await opened.close();
      }
    });
  });
}
