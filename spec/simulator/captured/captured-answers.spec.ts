import { expect } from 'chai';
import { textOf } from '../../../src/simulator/wire/wire-value.js';
import { capturedSteps } from './captured-fixtures.js';
import { startCapturedWorld } from './captured-world.js';
import { Comparison } from './comparison.js';
import { notReplayed, surprisesIn } from './known-differences.js';
import { OverwriteFacts } from './overwrite-facts.js';
import { CAN_ZSTD, Replay } from './replay.js';

const VM_A = 'OpaqueRef:56261b16-91c9-a624-bf25-86737119a3d9';

/** What the second capture calls the objects of the first one. */
const OVERWRITE_NAMES: Readonly<Record<string, string>> = {
  [VM_A]: 'OpaqueRef:2e6b914c-e7c3-d4ee-2735-c7b3987c9faf',
  '90ad7b51-52b5-3534-8b8e-db2ada64c1b7': 'dc29f4ac-2d8f-a4bc-b8b6-bf1dc6f90dcd',
  'OpaqueRef:0de82c3c-9469-9e12-a30a-8c17a560c7fa': 'OpaqueRef:0a0e6908-4967-6569-2f00-658432d5a8f0',
  'OpaqueRef:ea9dff0c-8cb4-6d46-7a11-80faeb320476': 'OpaqueRef:8a4d863f-58bc-fc17-51ef-5224adfe3bd1',
  'c6:03:7c:ad:13:cc': '4e:db:2e:54:ee:2a',
};

describe('the simulated pool, asked what a real XAPI 24.19.2 was asked', () => {
  it('goes through backup and restore with the same answers, records and task ends', async () => {
    const comparison = new Comparison();
    const world = await startCapturedWorld(comparison);
    try {
      await new Replay('backup', world, comparison).run(capturedSteps('backup-restore-flow'));
    } finally {
      await world.pool.close();
    }
    expect(surprisesIn('backup', comparison)).to.deep.equal([]);
    const steps = capturedSteps('backup-restore-flow');
    expect(steps.length).to.equal(136);
    const impossible = CAN_ZSTD ? 0 : steps.filter(({ note }) => note.endsWith('export zstd')).length;
    expect(comparison.steps).to.equal(136 - impossible);
    expect(comparison.fields).to.be.greaterThan(2500);
  });

  it('lets a VM be overwritten in the same three ways, with the same records afterwards', async () => {
    const comparison = new Comparison();
    const world = await startCapturedWorld(comparison);
    const { binding } = comparison;
    for (const [own, captured] of Object.entries(OVERWRITE_NAMES)) binding.set(captured, own);
    const { store } = world.pool.pool;
    for (const [cls, name, captured] of [
      ['SR', 'files', 'OpaqueRef:1cefffdb-88e8-8e67-cc57-360fa8339a9e'],
      ['network', 'net0', 'OpaqueRef:46dc86a9-214f-cf88-55cc-339ed84b77ca'],
    ] as const) {
      const own = store.all(cls).find(([, record]) => textOf(record, 'name_label') === name);
      binding.set(captured, own?.[0] ?? '');
    }
    const leftOut = notReplayed('overwrite');
    const steps = capturedSteps('overwrite-flow').filter(({ note }) => !leftOut.includes(note));
    const facts = new OverwriteFacts(world, comparison);
    const replay = new Replay('overwrite', world, comparison);
    try {
      for (const [index, step] of steps.entries()) {
        if (await facts.check(step)) comparison.steps += 1;
        else await replay.run([step], steps[index + 1]);
      }
    } finally {
      await world.pool.close();
    }
    expect(surprisesIn('overwrite', comparison)).to.deep.equal([]);
    expect(comparison.steps + leftOut.length).to.equal(41);
    expect(comparison.fields).to.be.greaterThan(500);
  });
});
