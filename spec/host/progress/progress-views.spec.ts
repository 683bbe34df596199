import { expect } from 'chai';
import fc from 'fast-check';
import { MIB } from '../../../src/common/byte-size.js';
import { type ByteExpectation } from '../../../src/contract/index.js';
import { BarView } from '../../../src/host/progress/bar-view.js';
import { formatDuration } from '../../../src/host/progress/format-duration.js';
import { JsonView } from '../../../src/host/progress/json-view.js';
import { LineView } from '../../../src/host/progress/line-view.js';
import {
  formatLevel,
  formatProgress,
  type OperationEvent,
  percentOf,
  type ProgressView,
} from '../../../src/host/progress/progress-view.js';
import { RateMeter } from '../../../src/host/progress/rate-meter.js';
import { savesetRecord } from '../../contract/support/saveset-record.js';
import { CapturedStream } from '../support/captured-stream.js';

const progressOf = (doneMib: number, expectedMib: number | 'none' = 100, expectedIs: ByteExpectation = 'exact') => ({
  doneBytes: doneMib * MIB,
  expectedBytes: expectedMib === 'none' ? undefined : expectedMib * MIB,
  expectedIs,
});

const started = (item: string, atMs: number, expectedMib?: number): OperationEvent => ({
  type: 'item-started',
  atMs,
  item,
  title: `disk of ${item}`,
  progress: progressOf(0, expectedMib ?? 'none', expectedMib === undefined ? 'unknown' : 'exact'),
});

const progress = (item: string, atMs: number, itemProgress: ReturnType<typeof progressOf>): OperationEvent => ({
  type: 'progress',
  atMs,
  item,
  itemProgress,
  totalProgress: itemProgress,
});

const done = (item: string, atMs: number): OperationEvent => ({
  type: 'item-completed',
  atMs,
  item,
  bytes: 100 * MIB,
  sha256: 'a'.repeat(64),
});
const warning: OperationEvent = { type: 'warning', atMs: 1, code: 'ODD', message: 'It looks odd.' };
const decided: OperationEvent = {
  type: 'level-decided',
  atMs: 1,
  disk: 'root',
  level: 'full',
  reason: 'first',
  expectedBytes: MIB,
};
const completed: OperationEvent = {
  type: 'completed',
  atMs: 9000,
  report: { record: savesetRecord(), transferredBytes: 1, elapsedMs: 1 },
};

const story: readonly OperationEvent[] = [
  { type: 'phase-entered', atMs: 0, phase: 'transfer' },
  decided,
  started('x', 0, 100),
  progress('x', 1000, progressOf(10)),
  progress('x', 6000, progressOf(60)),
  warning,
  done('x', 10_000),
  completed,
];

const play = (view: ProgressView, events: readonly OperationEvent[]): void => {
  for (const event of events) view.onEvent(event);
};

describe('formatLevel', () => {
  it('tells the bytes that a disk will cost only where they are known', () => {
    const level = { type: 'level-decided', atMs: 1, disk: 'root', level: 'incremental', reason: 'CBT_OK' } as const;
    expect(formatLevel({ ...level, expectedBytes: 0 })).to.equal('root: incremental (CBT_OK), 0 B');
    expect(formatLevel(level)).to.equal('root: incremental (CBT_OK)');
  });
});

describe('formatDuration', () => {
  const cases: readonly (readonly [number, string])[] = [
    [-5, '0.0 s'],
    [0, '0.0 s'],
    [440, '0.4 s'],
    [9949, '9.9 s'],
    [9950, '10 s'],
    [59_499, '59 s'],
    [59_500, '1 min 00 s'],
    [185_000, '3 min 05 s'],
    [3_599_400, '59 min 59 s'],
    [3_599_500, '1 h 00 min'],
    [7_440_000, '2 h 04 min'],
    [360_000_000, '100 h 00 min'],
  ];
  for (const [durationMs, text] of cases) {
    it(`of ${durationMs} ms is ${text}`, () => {
      expect(formatDuration(durationMs)).to.equal(text);
    });
  }
});

describe('RateMeter', () => {
  it('knows nothing before two samples lie apart', () => {
    const meter = new RateMeter();
    expect([meter.bytesPerSecond, meter.leftMs(10)]).to.deep.equal([undefined, undefined]);
    meter.add(5, 0);
    meter.add(5, 10);
    expect(meter.bytesPerSecond).to.equal(undefined);
  });

  it('measures the last ten seconds only', () => {
    const meter = new RateMeter();
    for (let second = 0; second <= 30; second += 1) meter.add(second * 1000, second <= 20 ? 0 : (second - 20) * 1000);
    expect(meter.bytesPerSecond).to.equal(1000);
    expect(meter.leftMs(15_000)).to.equal(5000);
    expect(meter.leftMs(undefined)).to.equal(undefined);
    expect(meter.leftMs(0)).to.equal(0);
  });

  it('promises no end while nothing moves', () => {
    const meter = new RateMeter();
    meter.add(0, 5);
    meter.add(1000, 5);
    expect([meter.bytesPerSecond, meter.leftMs(10)]).to.deep.equal([0, undefined]);
  });
});

describe('formatProgress and percentOf', () => {
  it('say what is known', () => {
    expect(formatProgress(progressOf(1, 2))).to.equal('1.0 MiB of 2.0 MiB');
    expect(formatProgress(progressOf(1, 2, 'estimate'))).to.equal('1.0 MiB of about 2.0 MiB');
    expect(formatProgress(progressOf(1, 2, 'unknown'))).to.equal('1.0 MiB');
    expect(formatProgress(progressOf(1, 'none'))).to.equal('1.0 MiB');
    expect([percentOf(progressOf(1, 'none')), percentOf(progressOf(0, 0)), percentOf(progressOf(1, 3))]).to.deep.equal([
      undefined,
      0,
      33,
    ]);
  });

  it('never claim 100 % before the end is proven', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (doneBytes, expectedBytes) => {
        const percent = percentOf({ doneBytes, expectedBytes, expectedIs: 'estimate' }) ?? -1;
        return percent >= 0 && percent <= 99;
      }),
    );
  });
});

describe('LineView', () => {
  const make = (): { view: LineView; lines: string[]; logs: string[] } => {
    const lines: string[] = [];
    const logs: string[] = [];
    return {
      view: new LineView(
        'web',
        (line) => lines.push(line),
        (line) => logs.push(line),
      ),
      lines,
      logs,
    };
  };

  it('tells the story in few lines', () => {
    const { view, lines, logs } = make();
    play(view, story);
    view.log('a log line');
    view.close();
    expect(lines).to.deep.equal([
      'web: transfer',
      'web: root: full (first), 1.0 MiB',
      'web: x: started',
      'web: x: 60.0 MiB of 100.0 MiB (60 %), 10.0 MiB/s, 4.0 s left',
      'web: warning ODD: It looks odd.',
      'web: x: 100.0 MiB in 10 s',
    ]);
    expect(logs).to.deep.equal(['a log line']);
  });

  it('gets along without an end, and with events of items that it does not know', () => {
    const { view, lines } = make();
    play(view, [
      progress('?', 0, progressOf(1)),
      done('?', 5),
      started('x', 0),
      progress('x', 5000, progressOf(5, 'none', 'unknown')),
    ]);
    expect(lines).to.deep.equal(['web: ?: 100.0 MiB in 0.0 s', 'web: x: started', 'web: x: 5.0 MiB']);
  });
});

describe('JsonView', () => {
  it('passes events on with their labels', () => {
    const values: unknown[] = [];
    const logs: string[] = [];
    const view = new JsonView(
      { source: 'vm/1' },
      (value) => values.push(value),
      (line) => logs.push(line),
    );
    view.onEvent(warning);
    view.log('x');
    view.close();
    expect(values).to.deep.equal([{ ...warning, source: 'vm/1' }]);
    expect(logs).to.deep.equal(['x']);
  });
});

describe('BarView', () => {
  const ESCAPE = '\u001b';
  const make = (): { view: BarView; stream: CapturedStream } => {
    const stream = new CapturedStream(true);
    return { view: new BarView('web', stream, (_style, text) => text), stream };
  };
  /** What was drawn last, without the moves of the cursor. */
  const lastDrawn = ({ text }: CapturedStream): string[] =>
    text
      .replace(new RegExp(`${ESCAPE}\\[[\\d;?]*[A-Za-z]`, 'g'), '\r')
      .split(/[\r\n]+/)
      .filter((line) => line.trim() !== '');

  it('draws a line for the operation and a full bar for what is done', () => {
    const { view, stream } = make();
    play(view, story);
    view.log('a log line');
    view.close();
    const drawn = lastDrawn(stream);
    expect(drawn).to.include('warning ODD: It looks odd.');
    expect(drawn).to.include('a log line');
    expect(drawn.slice(-2)).to.deep.equal([
      'web  done',
      `  disk of x               ${'━'.repeat(24)}  100 %  100.0 MiB in 10 s`,
    ]);
    expect(stream.text).to.contain('\u001b[?25h');
  });

  it('draws share, speed and time left on the way', () => {
    const { view, stream } = make();
    play(view, story.slice(0, 5));
    view.close();
    const bar = '━'.repeat(14) + '─'.repeat(10);
    expect(lastDrawn(stream).at(-1)).to.equal(
      `  disk of x               ${bar}   60 %  60.0 MiB of 100.0 MiB, 10.0 MiB/s, 4.0 s left`,
    );
  });

  it('draws a wandering stretch when nobody knows the end, and cuts long titles', () => {
    const { view, stream } = make();
    const name = 'a name that is much too long';
    play(view, [
      started(name, 0),
      progress(name, 0, progressOf(16, 'none', 'unknown')),
      progress('?', 1, progressOf(1)),
      done('?', 1),
    ]);
    view.close();
    const last = lastDrawn(stream).at(-1)!;
    expect(last).to.contain(`  disk of a name that i…  ──━━━━${'─'.repeat(18)}      ?  16.0 MiB`);
  });
});
