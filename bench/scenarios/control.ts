import { join } from 'node:path';
import { packageRoot } from '../../src/common/package-root.js';
import { MACHINES } from '../pool-data.js';
import { PoolProcess } from '../pool-process.js';
import { runNode, type RunOptions, type Sample, XEN_BACKUP } from '../programs.js';
import { ownRow, type Target, wallRow } from '../rows.js';
import { type Scenario } from '../scenario.js';
import { median } from '../statistics.js';

/** What Xen Orchestra's engine makes for the same. */
const XO_CALLS = 104;
/** Runs of one round: starting a program is short and scatters. */
const STARTS = 7;

const CALLS: Target = {
  name: 'calls for a full backup of a machine with one disk; against Xen Orchestra',
  unit: 'calls',
  target: 25,
  targetOf: 'ours',
};
const BROWSE_CALLS: Target = { name: 'browse of 5,000 machines: calls', unit: 'calls', target: 8, targetOf: 'ours' };
const BROWSE: Target = {
  name: 'browse of 5,000 machines; against curl for the same records',
  unit: 'ms',
  target: 2,
  targetOf: 'ratio',
};
const BROWSE_RSS: Target = { name: 'browse of 5,000 machines: peak RSS', unit: 'MiB', target: 300, targetOf: 'ours' };
const START: Target = { name: 'xen-backup --version; against node -e 0', unit: 'ms', target: 3, targetOf: 'ratio' };

export const callsOfBackup: Scenario = {
  title: 'calls for a full backup',
  needs: [],
  targets: [CALLS],
  prepare: (bench) => {
    const counts: (readonly string[])[] = [];
    return Promise.resolve({
      contestants: {
        ours: async () => {
          await bench.pool.calls();
          const sample = await bench.freshBackup([`vm/${MACHINES.one}`]);
          counts.push(await bench.pool.calls());
          return sample;
        },
      },
      rows: () => [
        ownRow(
          CALLS,
          counts.map(({ length }) => length),
          [],
          { peer: XO_CALLS, note: (counts.at(-1) ?? []).join(' ') },
        ),
      ],
    });
  },
};

export const browseLargePool: Scenario = {
  title: 'browse of a large pool',
  needs: ['curl'],
  targets: [BROWSE_CALLS, BROWSE, BROWSE_RSS],
  prepare: async (bench) => {
    const pool = await PoolProcess.start(join(packageRoot(), 'fixtures', 'pools', 'large.json'));
    bench.cleanups.add('the large pool', () => pool.stop());
    const browse = (): Promise<Sample> => bench.xenBackup(['browse', '-r'], 'none', pool);
    await browse();
    const all = await pool.calls();
    const asked = all.filter((call) => call.includes('.get_all_records'));
    const session = await bench.login(pool);
    const bodies = asked.map((method) => JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: [session] }));
    const requests = bodies.map((body) => `-sS -k -o /dev/null -d '${body}' ${pool.address.url}/jsonrpc`);
    const counts: number[] = [];
    await pool.calls();
    return {
      contestants: {
        ours: async () => {
          const sample = await browse();
          counts.push((await pool.calls()).length);
          return sample;
        },
        curl: async () => {
          const sample = await bench.shell(`curl ${requests.join(' --next ')}`);
          await pool.calls();
          return sample;
        },
      },
      rows: ({ ours = [], curl = [] }) => [
        ownRow(BROWSE_CALLS, counts, [], { note: all.join(' ') }),
        wallRow(BROWSE, ours, curl, { note: `by ${asked.length} calls in one curl` }),
        ownRow(
          BROWSE_RSS,
          ours.map(({ peakRssMiB = Number.NaN }) => peakRssMiB),
          [],
        ),
      ],
    };
  },
};

export const startUp: Scenario = {
  title: 'xen-backup --version',
  needs: [],
  targets: [START],
  prepare: (bench) =>
    Promise.resolve({
      contestants: {
        ours: () => typicalOf([XEN_BACKUP, '--version'], bench.run),
        node: () => typicalOf(['-e', '0'], bench.run),
      },
      rows: ({ ours = [], node = [] }) => [wallRow(START, ours, node)],
    }),
};

async function typicalOf(args: readonly string[], options: RunOptions): Promise<Sample> {
  const samples: Sample[] = [];
  for (let start = 0; start < STARTS; start += 1) samples.push(await runNode(args, options));
  return { ...samples[0]!, wallMs: median(samples.map(({ wallMs }) => wallMs)) };
}
