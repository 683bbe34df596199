import { expect } from 'chai';
import { FaultPlan, StreamShaper } from '../../src/simulator/faults.js';
import { named, startWithClient } from './support/rpc-client.js';

describe('StreamShaper', () => {
  const stream = (shaper: StreamShaper, ...chunks: readonly string[]): readonly string[] =>
    chunks.flatMap((chunk) =>
      shaper
        .shape(Buffer.from(chunk))
        .map((step) => (step.kind === 'bytes' ? Buffer.from(step.bytes).toString() : `<${step.kind}>`)),
    );

  it('stops at the byte it was told, wherever the chunks end', () => {
    expect(stream(new StreamShaper([{ cutAtByte: 5 }]), 'abc', 'defg')).to.deep.equal(['abc', 'de', '<cut>']);
    expect(stream(new StreamShaper([{ cutAtByte: 3 }]), 'abc', 'd')).to.deep.equal(['abc', '<cut>']);
    expect(stream(new StreamShaper([{ stall: true }]), 'abc')).to.deep.equal(['<stall>']);
  });

  it('flips one bit and goes on', () => {
    expect(stream(new StreamShaper([{ corruptAtByte: 4 }]), 'abc', 'def')).to.deep.equal(['abc', 'ddf']);
  });

  it('takes the earliest of several ends', () => {
    const shaper = new StreamShaper([{ cutAtByte: 4 }, { truncateAtByte: 2, task: 'success' }]);
    expect(stream(shaper, 'abcdef')).to.deep.equal(['ab', '<end>']);
  });
});

describe('FaultPlan', () => {
  it('counts matches, and hits only the one it was told', () => {
    const plan = new FaultPlan();
    plan.add({ match: { call: 'VM.snapshot' }, occurrence: 2, action: { failWith: ['SR_FULL'] } });
    expect(
      ['Async.VM.snapshot', 'VM.start', 'VM.snapshot', 'VM.snapshot'].map((call) => plan.forCall(call).length),
    ).to.deep.equal([0, 0, 1, 0]);
  });

  it('matches a path with or without its slash', () => {
    const plan = new FaultPlan();
    plan.add({ match: { path: '/export' }, action: { cutAtByte: 1 } });
    expect(plan.forTransfer('GET', '/export/')).to.have.lengthOf(1);
    expect(plan.forTransfer('GET', '/export_metadata')).to.have.lengthOf(0);
  });
});

describe('faults of calls', () => {
  it('fail a call, an asynchronous one in its task, and lose an answer after the work', async () => {
    const { pool, client } = await startWithClient();
    try {
      const vm = await named(client, 'VM', 'db-01');
      const forget = pool.addFault({
        match: { call: 'VM.snapshot' },
        action: { failWith: ['SR_BACKEND_FAILURE_44', '', 'no space', ''] },
      });
      expect(await client.error('VM.snapshot', vm, 'x')).to.deep.equal(['SR_BACKEND_FAILURE_44', '', 'no space', '']);
      const end = await client.taskEnd(await client.call<string>('Async.VM.snapshot', vm, 'x'));
      expect(end).to.deep.include({ status: 'failure', error_info: ['SR_BACKEND_FAILURE_44', '', 'no space', ''] });
      forget();
      pool.addFault({ match: { call: 'VM.clone' }, occurrence: 1, action: { cutAtByte: 10 } });
      const lost = await client.call('VM.clone', vm, 'made all the same').then(
        () => 'answered',
        () => 'lost',
      );
      expect(lost).to.equal('lost');
      expect(await client.call<string[]>('VM.get_by_name_label', 'made all the same')).to.have.lengthOf(1);
    } finally {
      await pool.close();
    }
  });
});
