import { expect } from 'chai';
import { isBackupError } from '../../src/contract/backup-error.js';
import { type ItemCompleted, type ItemStarted, type Progress } from '../../src/contract/events.js';
import { ProgressMeter } from '../../src/transfer/progress-meter.js';
import { ManualClock } from '../support/manual-clock.js';

describe('ProgressMeter', () => {
  let clock: ManualClock;
  let events: (ItemStarted | Progress | ItemCompleted)[];
  const emit = (event: ItemStarted | Progress | ItemCompleted): void => void events.push(event);
  const samples = (): Progress[] => events.filter((event) => event.type === 'progress');

  beforeEach(() => {
    clock = new ManualClock();
    events = [];
  });

  it('says start, samples and end of an item', async () => {
    const meter = new ProgressMeter({ emit, clock });
    meter.start({ item: 'a', title: 'Disk a', expectedBytes: 100, expectedIs: 'estimate' });
    await clock.advance(100);
    meter.add('a', 30);
    meter.complete('a', { bytes: 30, sha256: 'f' });
    const atMs = clock.nowMs();
    const exact = { doneBytes: 30, expectedBytes: 30, expectedIs: 'exact' };
    const estimate = { doneBytes: 30, expectedBytes: 100, expectedIs: 'estimate' };
    expect(events).to.deep.equal([
      { type: 'item-started', item: 'a', title: 'Disk a', progress: { ...estimate, doneBytes: 0 }, atMs: atMs - 100 },
      { type: 'progress', item: 'a', itemProgress: estimate, totalProgress: estimate, atMs },
      { type: 'progress', item: 'a', itemProgress: exact, totalProgress: exact, atMs },
      { type: 'item-completed', item: 'a', bytes: 30, sha256: 'f', atMs },
    ]);
  });

  it('samples no more often than it may, and always at the end', async () => {
    const meter = new ProgressMeter({ emit, clock, intervalMs: 50 });
    meter.start({ item: 'a', title: 'a', expectedBytes: undefined, expectedIs: 'unknown' });
    for (let piece = 0; piece < 1000; piece += 1) {
      meter.add('a', 1);
      if (piece % 10 === 9) await clock.advance(1);
    }
    expect(samples().map((event) => event.itemProgress.doneBytes)).to.deep.equal([501]);
    meter.complete('a', { bytes: 1000, sha256: '' });
    expect(samples().at(-1)?.itemProgress.doneBytes).to.equal(1000);
    expect(meter.transferredBytes).to.equal(1000);
  });

  it('adds items up; the sum is as sure as its least sure part', async () => {
    const meter = new ProgressMeter({ emit, clock });
    meter.start({ item: 'a', title: 'a', expectedBytes: 10, expectedIs: 'exact' });
    meter.start({ item: 'b', title: 'b', expectedBytes: 20, expectedIs: 'estimate' });
    await clock.advance(100);
    meter.add('a', 1);
    meter.add('b', 2);
    meter.expect('b', { expectedBytes: undefined, expectedIs: 'unknown' });
    await clock.advance(100);
    meter.add('a', 4);
    expect(samples().map((event) => event.totalProgress)).to.deep.equal([
      { doneBytes: 1, expectedBytes: 30, expectedIs: 'estimate' },
      { doneBytes: 3, expectedBytes: 30, expectedIs: 'estimate' },
      { doneBytes: 7, expectedBytes: undefined, expectedIs: 'unknown' },
    ]);
  });

  it('takes the total that the caller knows', () => {
    const meter = new ProgressMeter({ emit, clock, expectedTotal: { expectedBytes: 500, expectedIs: 'exact' } });
    meter.start({ item: 'a', title: 'a', expectedBytes: 10, expectedIs: 'exact' });
    meter.complete('a', { bytes: 9, sha256: '' });
    expect(samples()[0]?.totalProgress).to.deep.equal({ doneBytes: 9, expectedBytes: 500, expectedIs: 'exact' });
  });

  it('refuses an item that was not started', () => {
    const meter = new ProgressMeter({ emit });
    expect(() => {
      meter.add('x', 1);
    })
      .to.throw()
      .that.satisfies(isBackupError);
  });
});
