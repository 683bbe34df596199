import { expect } from 'chai';
import { NbdBuffers } from '../../src/transfer/nbd-buffers.js';

const KIB = 1024;

describe('NbdBuffers', () => {
  it('fills again what came back, once', () => {
    const buffers = new NbdBuffers(1024 * KIB);
    const first = buffers.take(100 * KIB);
    expect(first.length).to.equal(100 * KIB);
    const release = buffers.releaseOf(first);
    release();
    release();
    const second = buffers.take(128 * KIB);
    expect(second.buffer).to.equal(first.buffer);
    expect(buffers.take(128 * KIB).buffer).not.to.equal(first.buffer);
  });

  it('never gives out what did not come back', () => {
    const buffers = new NbdBuffers(1024 * KIB);
    expect(buffers.take(64 * KIB).buffer).not.to.equal(buffers.take(64 * KIB).buffer);
  });

  it('keeps no more than it may, and nothing once it is cleared', () => {
    const buffers = new NbdBuffers(128 * KIB);
    const taken = [1, 2, 3].map(() => buffers.take(64 * KIB));
    for (const one of taken) buffers.releaseOf(one)();
    const again = [1, 2, 3].map(() => buffers.take(64 * KIB));
    const known = taken.map(({ buffer }) => buffer);
    expect(again.filter(({ buffer }) => known.includes(buffer)).length).to.equal(2);
    buffers.clear();
    buffers.releaseOf(again[0]!)();
    expect(buffers.take(64 * KIB).buffer).not.to.equal(again[0]!.buffer);
  });
});
