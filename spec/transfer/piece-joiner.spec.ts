import { expect } from 'chai';
import { setImmediate } from 'node:timers/promises';
import { PieceJoiner } from '../../src/transfer/piece-joiner.js';

const KIB = 1024;

describe('PieceJoiner', () => {
  const passed: Buffer[] = [];
  const lengths = (): readonly number[] => passed.map(({ length }) => length);
  let joiner: PieceJoiner;

  beforeEach(() => {
    passed.length = 0;
    joiner = new PieceJoiner((joined) => passed.push(joined));
  });

  it('makes one of what lies one after the other, without a copy', () => {
    const block = Buffer.allocUnsafeSlow(48 * KIB).fill(1);
    for (let at = 0; at < block.length; at += 16 * KIB) joiner.push(block.subarray(at, at + 16 * KIB));
    expect(passed).to.deep.equal([]);
    joiner.flush();
    expect(lengths()).to.deep.equal([48 * KIB]);
    block.fill(2);
    expect(passed[0]?.equals(block)).to.equal(true);
  });

  it('leaves alone what does not, and keeps the order', () => {
    const block = Buffer.from('abcdef');
    const pieces = [block.subarray(0, 2), block.subarray(3, 4), block.subarray(2, 3), Buffer.from('xy')];
    for (const piece of pieces) joiner.push(piece);
    joiner.flush();
    expect(passed.map(String)).to.deep.equal(['ab', 'd', 'c', 'xy']);
  });

  it('passes on what is large at once', () => {
    const block = Buffer.allocUnsafeSlow(320 * KIB);
    joiner.push(block.subarray(0, 64 * KIB));
    joiner.push(block.subarray(64 * KIB));
    expect(lengths()).to.deep.equal([320 * KIB]);
  });

  it('lets nothing wait when no more comes', async () => {
    joiner.push(Buffer.from('abc'));
    await setImmediate();
    expect(lengths()).to.deep.equal([3]);
  });

  it('passes on nothing twice, and nothing that was discarded', async () => {
    joiner.push(Buffer.from('abc'));
    joiner.flush();
    joiner.push(Buffer.from('def'));
    joiner.discard();
    joiner.flush();
    await setImmediate();
    expect(lengths()).to.deep.equal([3]);
  });
});
