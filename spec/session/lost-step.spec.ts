import { expect } from 'chai';
import { Writable } from 'node:stream';
import { BackupError, type BackupSink } from '../../src/contract/index.js';
import { repeatLostStep, repeatLostTransfer } from '../../src/session/lost-step.js';
import { TransportError } from '../../src/xapi/transport-error.js';
import { XapiError } from '../../src/xapi/xapi-error.js';
import { failureOf } from '../support/failure-of.js';

/** A pool that gets another coordinator when it is asked after `goes` was called. */
class FailingPool {
  epoch = 1;
  asked = 0;
  isGone = false;
  hasGone = false;

  call<Result>(): Promise<Result> {
    this.asked += 1;
    if (this.isGone) return Promise.reject(new TransportError('unreachable', 'nobody answers'));
    if (this.hasGone) this.epoch += 1;
    this.hasGone = false;
    return Promise.resolve([] as Result);
  }
}

const ITEM = { name: 'x', kind: 'k', mediaType: 'm', expectedBytes: undefined, expectedIs: 'unknown' } as const;
const broken = (): TransportError => new TransportError('interrupted', 'the connection broke');

describe('lost steps', () => {
  let pool: FailingPool;
  let signal: AbortSignal;

  beforeEach(() => {
    pool = new FailingPool();
    ({ signal } = new AbortController());
  });

  /** Fails so often, the coordinator going each time, and gives the number of its attempt. */
  const failing = (times: number, error: () => Error, goes = true): (() => Promise<number>) => {
    let attempt = 0;
    return () => {
      attempt += 1;
      if (attempt > times) return Promise.resolve(attempt);
      pool.hasGone = goes;
      return Promise.reject(error());
    };
  };

  describe('repeatLostStep', () => {
    const failureAfter = (times: number, error: Error, goes = true): Promise<unknown> =>
      failureOf(
        repeatLostStep(
          pool,
          { signal },
          failing(times, () => error, goes),
        ),
      );

    it('asks nothing of the pool when the step works', async () => {
      expect(await repeatLostStep(pool, { signal }, failing(0, broken))).to.equal(1);
      expect(pool.asked).to.equal(0);
    });

    for (const [what, error] of [
      ['a broken connection', broken],
      ['a task that is lost', () => new XapiError('TASK_LOST')],
      ['data that ends early', () => new BackupError('DATA_DAMAGED', 'cut short')],
    ] as const) {
      it(`does it anew after ${what} when the coordinator has gone, and undoes before`, async () => {
        const undone: string[] = [];
        const undo = (): Promise<void> => {
          undone.push('undone');
          return Promise.resolve();
        };
        expect(await repeatLostStep(pool, { signal, undo }, failing(1, error))).to.equal(2);
        expect(undone).to.deep.equal(['undone']);
      });
    }

    it('fails with what the step failed with when the coordinator is still the same', async () => {
      const error = broken();
      expect(await failureAfter(1, error, false)).to.equal(error);
    });

    it('leaves refusals alone', async () => {
      const error = new XapiError('SR_FULL');
      expect(await failureAfter(1, error)).to.equal(error);
      expect(pool.asked).to.equal(0);
    });

    it('gives up after two repetitions', async () => {
      expect(await repeatLostStep(pool, { signal }, failing(2, broken))).to.equal(3);
      const error = broken();
      expect(await failureAfter(3, error)).to.equal(error);
    });

    it('does not take data for damaged whose sender is gone', async () => {
      pool.isGone = true;
      const damaged = failing(1, () => new BackupError('DATA_DAMAGED', 'cut short'));
      expect(await failureOf(repeatLostStep(pool, { signal }, damaged))).to.include({
        code: 'TRANSFER_INTERRUPTED',
        isRetriable: true,
      });
    });

    it('ends with the signal', async () => {
      const cancel = new AbortController();
      const step = (): Promise<never> => {
        cancel.abort(new BackupError('CANCELLED', 'enough'));
        return Promise.reject(broken());
      };
      expect(await failureOf(repeatLostStep(pool, { signal: cancel.signal }, step))).to.include({
        kind: 'interrupted',
      });
      expect(pool.asked).to.equal(0);
    });
  });

  describe('repeatLostTransfer', () => {
    const sinkWith = (parts: Partial<BackupSink>): BackupSink => ({
      maxOpenItems: 1,
      openItem: () => Promise.resolve(new Writable()),
      ...parts,
    });

    it('opens an item once more where the medium can', async () => {
      const step = failing(1, broken);
      const sent = await repeatLostTransfer(pool, sinkWith({ canReopenItems: true }), signal, async (sink) => {
        await sink.openItem(ITEM, signal);
        return await step();
      });
      expect(sent).to.equal(2);
    });

    it('fails where it can not, and says that it may be tried again', async () => {
      const step = failing(1, () => new BackupError('DATA_DAMAGED', 'cut short'));
      const failure = await failureOf(
        repeatLostTransfer(pool, sinkWith({}), signal, async (sink) => {
          await sink.openItem(ITEM, signal);
          return await step();
        }),
      );
      expect(failure).to.include({ code: 'TRANSFER_INTERRUPTED', isRetriable: true });
    });

    it('does it anew everywhere as long as the item was not opened', async () => {
      const step = failing(1, broken);
      expect(await repeatLostTransfer(pool, sinkWith({}), signal, step)).to.equal(2);
    });
  });
});
