import { expect } from 'chai';
import { tmpdir } from 'node:os';
import { feed } from '../torture/hostile-input.js';
import { type Samples } from '../torture/hostile-targets.js';
import { inTurns } from '../torture/balance.js';
import { PART_NAMES, PARTS, runPart } from '../torture/parts.js';
import { documentOf, merged, type PartReport } from '../torture/report.js';
import { BackupError } from '../src/contract/index.js';

describe('torture, a small sample', function () {
  this.timeout(120_000);

  for (const name of PART_NAMES) {
    it(`finds nothing wrong: ${PARTS[name].title}`, async () => {
      const { counts, problems } = await runPart(name, { seed: 3, isShort: true, share: 0 });
      expect(problems).to.deep.equal([]);
      expect(Math.max(...Object.values(counts))).to.be.greaterThan(0);
    });
  }
});

describe('torture by hostile input', () => {
  const fed = async (eat: (bytes: Buffer) => unknown): Promise<{ refused: number; problem: string | undefined }> =>
    await feed({ name: 'reader', sample: () => Buffer.from('sound'), eat }, {} as Samples, {
      folder: tmpdir(),
      seed: 1,
      numRuns: 50,
    });
  const isSound = (bytes: Buffer): boolean => bytes.toString('latin1') === 'sound';

  it('counts what is refused with an error of ours', async () => {
    const { refused, problem } = await fed((bytes) => {
      if (!isSound(bytes)) throw new BackupError('DATA_DAMAGED', 'spoilt');
    });
    expect(problem).to.equal(undefined);
    expect(refused).to.be.greaterThan(40);
  });

  it('tells of a reader that fails with another error', async () => {
    const { problem } = await fed((bytes) => {
      if (!isSound(bytes)) throw new RangeError('out of bounds');
    });
    expect(problem).to.include('out of bounds');
  });

  it('tells of a reader that refuses what is sound: its cases would prove nothing', async () => {
    const { problem } = await fed(() => {
      throw new BackupError('DATA_DAMAGED', 'spoilt');
    });
    expect(problem).to.include('the sound sample is refused');
  });

  it('tells of a reader that changes all objects', async () => {
    const { problem } = await fed((bytes) => {
      if (!isSound(bytes)) Reflect.set(Object.prototype, 'polluted', true);
    }).finally(() => Reflect.deleteProperty(Object.prototype, 'polluted'));
    expect(problem).to.include('prototype');
  });
});

describe('torture, its order and report', () => {
  it('spreads every beginning evenly, the same for the same seed', () => {
    const all = Array.from({ length: 60 }, (_, number) => ({ operation: number % 3, fault: number % 5 }));
    const keys = (one: (typeof all)[number]): string[] => [`o${one.operation}`, `f${one.fault}`];
    const ordered = inTurns(all, 7, keys);
    expect(inTurns(all, 7, keys)).to.deep.equal(ordered);
    expect(ordered).to.have.length(60);
    const first = ordered.slice(0, 15);
    for (const operation of [0, 1, 2]) expect(first.filter((one) => one.operation === operation)).to.have.length(5);
    for (const fault of [0, 1, 2, 3, 4]) expect(first.filter((one) => one.fault === fault)).to.have.length(3);
  });

  it('adds up shares, keeps the longest time, and tells every problem', () => {
    const share = (count: number, ms: number, problems: readonly string[]): PartReport => ({
      name: 'crash',
      title: 'Killed',
      seconds: 1,
      counts: { kills: count, 'ms to the end, longest': ms },
      problems,
    });
    const report = merged([share(2, 30, []), share(3, 20, ['a\nproblem'])]);
    expect(report).to.deep.include({ seconds: 2, counts: { kills: 5, 'ms to the end, longest': 30 } });
    const text = documentOf([report], { seed: 9, totalSeconds: 120, about: () => 'About it.' });
    expect(text).to.include('Seed 9, 2 minutes, 1 problem.');
    expect(text).to.include('| Killed | 5 kills | 1 | 2 |');
    expect(text).to.include('- a problem');
  });
});
