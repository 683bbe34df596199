import { expect } from 'chai';
import { textOf } from '../../../src/simulator/wire/wire-value.js';
import { capturedText } from './captured-fixtures.js';
import { startCapturedWorld } from './captured-world.js';
import { Comparison } from './comparison.js';
import { surprisesIn } from './known-differences.js';
import { type CapturedConnection, WireReplay } from './wire-replay.js';
import { compareLimits } from './wire-limits.js';

/** What this capture calls the objects of the first one. */
const NAMES: Readonly<Record<string, string>> = {
  'OpaqueRef:9cc2c27a-95ff-8641-c429-eaf6c0bd2cb2': 'OpaqueRef:56261b16-91c9-a624-bf25-86737119a3d9',
  '305e7bab-e359-0a7c-66d7-07753a49dce7': '90ad7b51-52b5-3534-8b8e-db2ada64c1b7',
  'OpaqueRef:7695f5f3-5d50-778e-f0c5-e7de0c56a628': 'OpaqueRef:341c65b5-a36f-5fc3-3d57-d4c4a74035a9',
};
const SR = 'OpaqueRef:911a622b-eb7b-53e8-e60a-5877c2dd55ad';

describe('the bytes on the wire', () => {
  it('are those of a real XAPI 24.19.2', async () => {
    const comparison = new Comparison();
    const world = await startCapturedWorld(comparison);
    const { store } = world.pool.pool;
    for (const [captured, own] of Object.entries(NAMES)) comparison.binding.set(captured, own);
    comparison.binding.set(
      SR,
      store.all('SR').find(([, record]) => textOf(record, 'name_label') === 'files')?.[0] ?? '',
    );
    const connections = capturedText('wire-bytes.jsonl')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as CapturedConnection);
    try {
      await new WireReplay(world, comparison).run(connections);
      await compareLimits(world.pool.httpUrl, connections, comparison);
    } finally {
      await world.pool.close();
    }
    expect(surprisesIn('wire', comparison)).to.deep.equal([]);
    expect(comparison.steps).to.equal(connections.length);
    expect(comparison.steps).to.equal(106);
    expect(comparison.fields).to.be.greaterThan(700);
  });
});
