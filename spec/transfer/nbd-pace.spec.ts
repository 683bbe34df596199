import { expect } from 'chai';
import { anotherConnectionPays, type PaceFacts } from '../../src/transfer/nbd-pace.js';

const MB = 1_000_000;

describe('anotherConnectionPays', () => {
  const far: PaceFacts = {
    roundTripMs: 10,
    bytesPerSecond: 50 * MB,
    bytesPerSecondBefore: undefined,
    remainingBytes: 1000 * MB,
    openingMs: 150,
    connections: 1,
    maxConnections: 4,
  };

  it('opens more where the way is long', () => {
    expect(anotherConnectionPays(far)).to.equal(true);
    expect(anotherConnectionPays({ ...far, connections: 3, bytesPerSecondBefore: 35 * MB })).to.equal(true);
  });

  for (const [why, facts] of [
    ['the way is short', { roundTripMs: 0.4 }],
    ['little fits on the way', { bytesPerSecond: 2 * MB }],
    ['the last one brought nothing', { connections: 2, bytesPerSecondBefore: 49 * MB }],
    ['it would be over before', { remainingBytes: 10 * MB }],
    ['opening takes longer than it saves', { openingMs: 15_000 }],
    ['there are enough', { connections: 4 }],
    ['nothing came yet', { bytesPerSecond: 0 }],
  ] as const) {
    it(`opens none when ${why}`, () => {
      expect(anotherConnectionPays({ ...far, ...facts })).to.equal(false);
    });
  }
});
