import { expect } from 'chai';
import { FaultPlan, readFaults, StreamShaper } from '../../src/simulator/faults.js';
import { type Fault, type RunningPool } from '../../src/simulator/index.js';
import { PLAIN_DISK } from '../support/new-records.js';
import { named, type RpcClient, startWithClient } from './support/rpc-client.js';

/** A member of an archive: a header with name and size, and its padded data. */
function member(name: string, text: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name);
  header.write(`${text.length.toString(8).padStart(11, '0')}\0`, 124);
  const data = Buffer.alloc(Math.ceil(text.length / 512) * 512);
  data.write(text);
  return Buffer.concat([header, data]);
}

/** `name=data` of each member of an archive. */
function membersOf(archive: Buffer): readonly string[] {
  const found: string[] = [];
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0;) {
    const size = Number.parseInt(archive.toString('latin1', at + 124, at + 135), 8);
    const name = archive.toString('latin1', at, archive.indexOf(0, at));
    found.push(`${name}=${archive.toString('latin1', at + 512, at + 512 + Math.min(size, 8))}`);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return found;
}

/** The same without the numbers of the objects, which differ from export to export. */
const namesOf = (archive: Buffer): readonly string[] => membersOf(archive).map((text) => text.replace(/^Ref:\d+/, ''));

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

describe('StreamShaper, of an archive', () => {
  const chunk = (number: number): Buffer =>
    Buffer.concat([
      member(`Ref:1/0000000${number}`, `data ${number}`),
      member(`Ref:1/0000000${number}.xxhash`, `0ABC${number}`),
    ]);
  const archive = Buffer.concat([member('ova.xml', '<xml>'), chunk(0), chunk(1), chunk(2), Buffer.alloc(1024)]);

  const shaped = (
    action: ConstructorParameters<typeof StreamShaper>[0][number],
    pieceBytes: number,
  ): readonly string[] => {
    const shaper = new StreamShaper([action]);
    const out: Uint8Array[] = [];
    const ends: string[] = [];
    for (let at = 0; at < archive.length && ends.length === 0; at += pieceBytes) {
      for (const step of shaper.shape(archive.subarray(at, at + pieceBytes))) {
        if (step.kind === 'bytes') out.push(step.bytes);
        else ends.push(step.kind === 'end' ? step.task : step.kind);
      }
    }
    return [...membersOf(Buffer.concat(out)).map((text) => text.replace('Ref:1/0000000', '')), ...ends];
  };
  const plain = [
    'ova.xml=<xml>',
    '0=data 0',
    '0.xxhash=0ABC0',
    '1=data 1',
    '1.xxhash=0ABC1',
    '2=data 2',
    '2.xxhash=0ABC2',
  ];

  for (const pieceBytes of [100, 512, 100_000]) {
    it(`does not depend on the pieces in which it comes: ${pieceBytes} bytes`, () => {
      expect(shaped({ wrongChecksumAtChunk: 9 }, pieceBytes)).to.deep.equal(plain);
      expect(shaped({ wrongChecksumAtChunk: 1 }, pieceBytes)).to.deep.equal(
        plain.map((text) => text.replace('0ABC1', '1ABC1')),
      );
      expect(shaped({ duplicateChunk: 1 }, pieceBytes)).to.deep.equal([...plain.slice(0, 5), ...plain.slice(3)]);
      expect(shaped({ swapChunk: 0 }, pieceBytes)).to.deep.equal([0, 3, 4, 1, 2, 5, 6].map((index) => plain[index]));
      expect(shaped({ swapChunk: 2 }, pieceBytes)).to.deep.equal(plain);
      expect(shaped({ truncateAtMember: 3, task: 'success' }, pieceBytes)).to.deep.equal([
        ...plain.slice(0, 3),
        'success',
      ]);
    });
  }
});

describe('readFaults', () => {
  const mistakeIn = (fault: object): string => {
    try {
      readFaults([fault], 'faults.json');
      return 'none';
    } catch (error) {
      return String(error);
    }
  };

  it('takes what it can do something with', () => {
    const faults: Fault[] = [
      { match: { call: 'VDI.*' }, occurrence: 2, times: 3, forMs: 5, action: { failWith: ['VDI_IN_USE', '{1}', 'x'] } },
      { match: { path: '/export', method: 'GET' }, action: { swapChunk: 4 } },
      { match: { nbd: 'read' }, action: { corruptAtByte: 0 } },
    ];
    expect(readFaults(faults, 'here')).to.deep.equal(faults);
  });

  it('names the place of what it does not know', () => {
    const match = { call: 'VM.start' };
    expect(mistakeIn({ match, action: { stall: true }, colour: 1 }))
      .to.include('colour')
      .and.include('[0]');
    expect(mistakeIn({ match, action: { stall: true, atBite: 1 } }))
      .to.include('atBite')
      .and.include('[0].action');
    expect(mistakeIn({ match, action: { explode: true } })).to.include('must be one of: failWith');
    expect(mistakeIn({ match, action: { cutAtByte: -1 } })).to.include('[0].action.cutAtByte');
    expect(mistakeIn({ match, action: { swapChunk: 1 } })).to.include('match "path"');
    expect(mistakeIn({ match: {}, action: { stall: true } })).to.include('needs one of');
    expect(mistakeIn({ match: { ...match, path: '/export' }, action: { stall: true } })).to.include('needs one of');
    expect(mistakeIn({ match: { ...match, method: 'GET' }, action: { stall: true } })).to.include('goes with "path"');
    expect(mistakeIn({ match: { path: '/export' }, action: { refuse: true } })).to.include('match "nbd"');
  });
});

describe('FaultPlan', () => {
  it('hits so often or so long as it was told', () => {
    let nowMs = 0;
    const plan = new FaultPlan(() => nowMs);
    plan.add({ match: { call: 'VM.*' }, occurrence: 2, times: 2, action: { stall: true } });
    plan.add({ match: { call: 'VM.st?rt' }, forMs: 100, action: { httpStatus: 500 } });
    const hits = [0, 0, 0, 0, 99, 100].map((at) => {
      nowMs = at;
      return plan.forCall('VM.start').map((action) => Object.keys(action)[0]);
    });
    expect(hits).to.deep.equal([
      ['httpStatus'],
      ['stall', 'httpStatus'],
      ['stall', 'httpStatus'],
      ['httpStatus'],
      ['httpStatus'],
      [],
    ]);
    expect(plan.list().map(({ seen, hits: count }) => [seen, count])).to.deep.equal([
      [6, 2],
      [6, 5],
    ]);
  });

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

describe('faults of the pool', () => {
  let pool: RunningPool;
  let client: RpcClient;
  let vm: string;

  beforeEach(async () => {
    ({ pool, client } = await startWithClient({ clockStandsAtMs: 1_800_000_000_000 }));
    vm = await named(client, 'VM', 'db-01');
  });
  afterEach(() => pool.close());

  const fetchExport = (): Promise<Response> =>
    fetch(`${pool.httpUrl}/export?ref=${vm}&session_id=${client.session}`, { redirect: 'follow' });

  it('fill in the argument of a call, for as long as they were told', async () => {
    pool.addFault({
      match: { call: 'VM.destroy' },
      forMs: 60_000,
      action: { failWith: ['VDI_IN_USE', '{1}', 'destroy'] },
    });
    expect(await client.error('VM.destroy', vm)).to.deep.equal(['VDI_IN_USE', vm, 'destroy']);
    await pool.perform('advanceClock', { ms: 60_000 });
    expect(await client.call('VM.destroy', vm)).to.equal('');
  });

  it('end a session before the call, and before a transfer', async () => {
    pool.addFault({ match: { call: 'VM.get_record' }, action: { expireSession: true } });
    expect(await client.error('VM.get_record', vm)).to.deep.equal(['SESSION_INVALID', client.session]);
    await client.login(pool);
    pool.addFault({ match: { path: '/exp*' }, times: 1, action: { expireSession: true } });
    expect((await fetchExport()).status).to.equal(401);
  });

  it('let a task end badly though its work was done, or vanish', async () => {
    pool.addFault({ match: { call: 'VM.clone' }, occurrence: 1, action: { taskFailure: ['INTERNAL_ERROR', 'late'] } });
    pool.addFault({ match: { call: 'VM.clone' }, occurrence: 2, action: { vanishTask: true } });
    const end = await client.taskEnd(await client.call('Async.VM.clone', vm, 'first'));
    expect(end)
      .to.include({ status: 'failure' })
      .and.deep.include({ error_info: ['INTERNAL_ERROR', 'late'] });
    const task = await client.call<string>('Async.VM.clone', vm, 'second');
    for (let isThere = true; isThere;) isThere = (await client.call<string[]>('task.get_all')).includes(task);
    for (const name of ['first', 'second'])
      expect(await client.call<string[]>('VM.get_by_name_label', name)).to.have.lengthOf(1);
  });

  it('fill a storage before the call that needs its room', async () => {
    const sr = await named(client, 'SR', 'Local storage B');
    pool.addFault({ match: { call: 'VDI.create' }, action: { fillStorage: 'Local storage B' } });
    const [code] = await client.error('VDI.create', {
      SR: sr,
      virtual_size: 2 ** 26,
      name_label: 'x',
      ...PLAIN_DISK,
    });
    expect(code).to.equal('SR_BACKEND_FAILURE_44');
  });

  it('kill the coordinator after the work, let another take over, and bring it back', async () => {
    pool.addFault({
      match: { call: 'VM.clone' },
      occurrence: 1,
      action: { kill: 'coordinator', afterWork: true, promote: 'host-b', backAfterMs: 1000 },
    });
    expect(
      await client.call('VM.clone', vm, 'made').then(
        () => 'answered',
        () => 'lost',
      ),
    ).to.equal('lost');
    const { hosts } = (await pool.perform('state', { classes: [] })) as { hosts: Record<string, unknown>[] };
    expect(hosts.map(({ isCoordinator, isDown }) => [isCoordinator, isDown])).to.deep.equal([
      [false, true],
      [true, false],
    ]);
    await pool.perform('advanceClock', { ms: 1000 });
    const answer = await client.post({
      jsonrpc: '2.0',
      id: 1,
      method: 'session.login_with_password',
      params: ['a', 'b'],
    });
    expect(answer.error).to.deep.include({ message: 'HOST_IS_SLAVE' });
  });

  it('wait before a call until the clock of the pool has moved', async () => {
    pool.addFault({ match: { call: 'VM.get_all' }, occurrence: 1, action: { delayMs: 5000 } });
    let isAnswered = false;
    const answer = client.call('VM.get_all').then(() => (isAnswered = true));
    await client.call('VM.get_record', vm);
    expect(isAnswered).to.equal(false);
    while (pool.pool.faults.list()[0]?.hits === 0) await client.call('VM.get_record', vm);
    await pool.perform('advanceClock', { ms: 5000 });
    expect(await answer).to.equal(true);
  });

  it('shape an export on its way: slower, in whole members, with the end of the session in the middle', async () => {
    const other = await startWithClient();
    try {
      const snapshot = await other.client.call<string>('VM.snapshot', await named(other.client, 'VM', 'web-01'), 'x');
      const fetchAll = async (session = other.client.session): Promise<Buffer> => {
        const address = `${other.pool.httpUrl}/export?ref=${snapshot}&session_id=${session}`;
        return Buffer.from(await (await fetch(address)).arrayBuffer());
      };
      const whole = await fetchAll();
      const forget = other.pool.addFault({
        match: { path: '/export' },
        action: { bytesPerSecond: 1e9, atByte: 50_000 },
      });
      expect(namesOf(await fetchAll())).to.deep.equal(namesOf(whole));
      forget();
      other.pool.addFault({ match: { path: '/export' }, action: { truncateAtMember: 5, task: 'success' } });
      other.pool.addFault({ match: { path: '/export' }, action: { expireSession: true, atByte: 700 } });
      const cut = await fetchAll();
      expect(namesOf(cut)).to.deep.equal(namesOf(whole).slice(0, 5)).and.have.lengthOf(5);
      expect(cut.length).to.be.lessThan(whole.length);
      expect((await other.client.error('VM.get_all'))[0]).to.equal('SESSION_INVALID');
    } finally {
      await other.pool.close();
    }
  });
});
