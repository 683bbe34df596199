import { expect } from 'chai';
import { OperationRun } from '../../src/transfer/operation-run.js';
import { failureOf } from '../support/failure-of.js';
import { ManualClock } from '../support/manual-clock.js';
import { RecordingLogger } from '../support/recording-logger.js';

describe('OperationRun', () => {
  const begin = (
    clock: ManualClock,
    signal: AbortSignal,
  ): { run: OperationRun<'transfer' | 'release'>; codes: string[] } => {
    const codes: string[] = [];
    const run = new OperationRun<'transfer' | 'release'>({
      savesetId: 's',
      emit: (event) => {
        if (event.type === 'warning') codes.push(`${event.code}: ${event.message}`);
      },
      signal,
      clock,
      logger: new RecordingLogger(),
      leftoverEnding: ' Later.',
    });
    return { run, codes };
  };

  it('gives a cancelled operation a minute for all of its releases together', async () => {
    const clock = new ManualClock();
    const cancel = new AbortController();
    const { run, codes } = begin(clock, cancel.signal);
    let hangs = (): void => undefined;
    const hanging = new Promise<void>((resolve) => {
      hangs = resolve;
    });
    run.cleanup.add('never begun', () => undefined);
    run.cleanup.add('snapshot', () => {
      hangs();
      return new Promise(() => undefined);
    });
    const ended = failureOf(
      run.complete(() => {
        cancel.abort(new TypeError('enough'));
        return Promise.reject(new TypeError('enough'));
      }),
    );
    await hanging;
    await clock.advance(60_000);
    expect(await ended).to.include({ message: 'enough' });
    expect(codes.map((code) => code.split(' could')[0])).to.deep.equal([
      'LEFTOVER: The snapshot',
      'LEFTOVER: The never begun',
    ]);
    expect(clock.sleeping).to.equal(0);
  });

  it('lets go of its clock when all is released in time', async () => {
    const clock = new ManualClock();
    const { run, codes } = begin(clock, AbortSignal.abort(new TypeError('enough')));
    run.cleanup.add('snapshot', () => undefined);
    expect(await run.complete(() => Promise.resolve('done'))).to.equal('done');
    expect(codes).to.deep.equal([]);
    expect(clock.sleeping).to.equal(0);
  });
});
