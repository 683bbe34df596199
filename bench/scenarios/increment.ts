import { MACHINES, SCATTER_MIB, SCATTERED_CHANGES } from '../pool-data.js';
import { type Sample } from '../programs.js';
import { type Target } from '../rows.js';
import { type Scenario } from '../scenario.js';
import { median, spreadOf } from '../statistics.js';

/** Added to every answer of the pool, be it to a call or to a read. */
const LATENCY_MS = 10;
/** 1,000 changes of 64 KiB are 62.5 MiB; a reader asks for 16 MiB at a time. */
const WINDOWS = 4;

const INCREMENT: Target = {
  name: 'increment of 1,000 scattered changes of 64 KiB on 20 GiB, 10 ms of latency; against the bound',
  unit: 'ms',
  target: 1.3,
  targetOf: 'ratio',
};

/**
 * The bound: the same increment without any latency, measured in turn, which is what CPU and bandwidth allow; and one
 * latency for each call that it makes, one for each 16 MiB of data. It holds no latency for the 1,000 reads themselves.
 */
export const scatteredIncrement: Scenario = {
  title: 'increment over latency',
  needs: [],
  targets: [INCREMENT],
  prepare: async (bench) => {
    await bench.emptyRepository('scatter');
    bench.cleanups.add('the repository of the increments', () => bench.emptyRepository('scatter'));
    const args = [`vm/${MACHINES.scatter}`, '--format', 'disks', '-o', 'maxChain=1000'];
    await bench.backup([...args, '--level', 'full'], 'scatter');
    const calls: number[] = [];
    const increment = async (): Promise<Sample> => {
      await bench.scatter(MACHINES.scatter, SCATTER_MIB, SCATTERED_CHANGES);
      return await bench.backup([...args, '--level', 'incremental'], 'scatter');
    };
    const delayed = async (): Promise<Sample> => {
      await bench.pool.perform('setTimings', { nbdLatencyMs: LATENCY_MS });
      const fault = { match: { call: '*' }, action: { delayMs: LATENCY_MS } };
      const { id } = (await bench.pool.perform('addFault', { fault })) as { id: number };
      try {
        await bench.pool.calls();
        const sample = await increment();
        calls.push((await bench.pool.calls()).length);
        return sample;
      } finally {
        await bench.pool.perform('removeFault', { id });
        await bench.pool.perform('setTimings', { nbdLatencyMs: 0 });
      }
    };
    return {
      contestants: { ours: delayed, direct: increment },
      rows: ({ ours = [], direct = [] }) => {
        const bounds = direct.map(({ wallMs }, round) => wallMs + LATENCY_MS * ((calls[round] ?? 0) + WINDOWS));
        const ratios = ours.map(({ wallMs }, round) => wallMs / (bounds[round] ?? Number.NaN));
        return [
          {
            ...INCREMENT,
            ours: median(ours.map(({ wallMs }) => wallMs)),
            peer: median(bounds),
            ratio: median(ratios),
            spread: spreadOf(ratios),
            peakRssMiB: Math.max(...ours.map(({ peakRssMiB = 0 }) => peakRssMiB)),
            note:
              `bound: ${median(direct.map(({ wallMs }) => wallMs)).toFixed(0)} ms without latency, and ${LATENCY_MS} ms ` +
              `for each of ${median(calls)} calls and of ${WINDOWS} windows of 16 MiB`,
          },
        ];
      },
    };
  },
};
