import { expect } from 'chai';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { type RestoreMedia, type RestoreRequest, type SavesetRecord } from '../../src/contract/index.js';
import { RUN_MARK_KEY } from '../../src/session/run-marks.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { errorOf, reportOf } from '../contract/support/run-operation.js';
import { startXenWorld, type XenWorld } from './support/xen-world.js';

const RESTORES: readonly (readonly [path: string, format: 'xva' | 'disks', request: RestoreRequest])[] = [
  ['/import', 'xva', { mode: 'new', name: 'copy' }],
  ['/import_raw_vdi', 'disks', { mode: 'disk', disk: '0' }],
];

/** The media of a restore; `onHalf` is awaited when half of an item was read. */
function noticed(media: RestoreMedia, onHalf: () => Promise<void>): RestoreMedia {
  return {
    ...media,
    openItem: async (...args) => {
      const { stream, bytes } = await media.openItem(...args);
      return { stream: Readable.from(halves(stream, bytes / 2, onHalf)), bytes };
    },
  };
}

async function* halves(stream: Readable, half: number, onHalf: () => Promise<void>): AsyncGenerator<Buffer> {
  let seen = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (seen < half && seen + chunk.length >= half) await onHalf();
    seen += chunk.length;
    yield chunk;
  }
}

describe('journey: a restore that is broken off while the pool takes its data', () => {
  let world: XenWorld;
  let calls: string[];

  beforeEach(async () => {
    world = await startXenWorld();
    calls = [];
  });

  afterEach(() => world.close());

  async function save(format: 'xva' | 'disks'): Promise<{ record: SavesetRecord; sink: RecordingSink }> {
    const sink = new RecordingSink();
    const request = { source: 'vm/db', savesetId: 'one', options: { format } };
    return { ...(await reportOf(world.source.backup(request, sink))), sink };
  }

  /** Notes calls from now on. The pool ends no task of a transfer before somebody looks at it. */
  function slowEnds(): void {
    const { faults, tasks } = world.running.pool;
    const [forCall, fail] = [faults.forCall.bind(faults), tasks.fail.bind(tasks)];
    const held: (() => void)[] = [];
    let isLookedAt = false;
    tasks.fail = (...end) => {
      if (isLookedAt) fail(...end);
      else
        held.push(() => {
          fail(...end);
        });
    };
    faults.forCall = (call) => {
      calls.push(call.replace('Async.', ''));
      if (call === 'event.from') {
        isLookedAt = true;
        for (const end of held.splice(0)) end();
      }
      return forCall(call);
    };
  }

  /** Resolves when the pool has begun to make what it gets: a machine, or the disk that is there is being filled. */
  async function isBeingMade(): Promise<void> {
    const { store, contents } = world.running.pool;
    const isThere = (): boolean =>
      store.all('VM').some(([, { name_label: name }]) => (name as string).includes('copy')) ||
      store.all('VDI').some(([ref, { other_config: marks }]) => RUN_MARK_KEY in (marks as object) && !isZero(ref));
    const isZero = (ref: string): boolean =>
      contents
        .get(ref)
        ?.read(0, 512)
        .every((byte) => byte === 0) ?? true;
    while (!isThere()) await turn();
  }

  for (const [path, format, request] of RESTORES) {
    it(`waits for the end of an ${path} that was cut, and then removes what it made (found by torture)`, async () => {
      const { record, sink } = await save(format);
      const before = world.state();
      const cancel = new AbortController();
      // What waits to be sent is read before: the other half comes when the pool takes the first.
      const media = noticed(sink.media(record), async () => {
        await isBeingMade();
        slowEnds();
        cancel.abort();
      });
      const error = await errorOf(world.source.restore({ ...request, signal: cancel.signal }, media));
      expect(error.code, error.message).to.equal('CANCELLED');
      const untilRemoved = calls.slice(0, calls.indexOf('task.destroy'));
      expect(untilRemoved).to.include.members(['task.cancel', 'event.from']);
      expect(untilRemoved).to.not.include('task.set_status');
      expect(world.state()).to.deep.equal(before);
      expect(world.running.pool.store.all('task')).to.deep.equal([]);
    });

    it(`waits for no ${path} that never began (found by torture)`, async () => {
      const { record, sink } = await save(format);
      const before = world.state();
      const cancel = new AbortController();
      const { faults } = world.running.pool;
      const forTransfer = faults.forTransfer.bind(faults);
      world.running.addFault({ match: { path, method: 'PUT' }, action: { stall: true } });
      faults.forTransfer = (...transfer) => {
        if (transfer[0] === 'PUT') {
          slowEnds();
          cancel.abort();
        }
        return forTransfer(...transfer);
      };
      const error = await errorOf(world.source.restore({ ...request, signal: cancel.signal }, sink.media(record)));
      expect(error.code, error.message).to.equal('CANCELLED');
      expect(calls.slice(0, calls.indexOf('task.destroy'))).to.not.include('event.from');
      expect(world.state()).to.deep.equal(before);
      expect(world.running.pool.store.all('task')).to.deep.equal([]);
    });
  }
});
