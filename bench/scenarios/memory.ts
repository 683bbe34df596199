import { MACHINES, MANY } from '../pool-data.js';
import { ownRow, type Target, wallRow } from '../rows.js';
import { type Scenario } from '../scenario.js';
import { median, spreadOf } from '../statistics.js';

const SMALL: Target = { name: 'peak RSS, backup of 1 GiB', unit: 'MiB', target: 200, targetOf: 'ours' };
const SPARSE: Target = { name: 'peak RSS, backup of 40 GiB sparse', unit: 'MiB', target: 200, targetOf: 'ours' };
const ALIKE: Target = {
  name: 'peak RSS, the larger of the two; against the smaller',
  unit: 'MiB',
  target: 1.1,
  targetOf: 'ratio',
};
const AT_ONCE: Target = {
  name: '20 machines, 4 at once; against one machine with as much data',
  unit: 'ms',
  target: 1,
  targetOf: 'ratio',
};
const AT_ONCE_RSS: Target = { name: 'peak RSS, 20 machines, 4 at once', unit: 'MiB', target: 400, targetOf: 'ours' };

const rssOf = ({ peakRssMiB = Number.NaN }): number => peakRssMiB;

export const flatMemory: Scenario = {
  title: 'peak RSS',
  needs: [],
  targets: [SMALL, SPARSE, ALIKE],
  prepare: (bench) =>
    Promise.resolve({
      contestants: {
        small: () => bench.freshBackup([`vm/${MACHINES.one}`]),
        sparse: () => bench.freshBackup([`vm/${MACHINES.sparse}`]),
      },
      rows: ({ small = [], sparse = [] }) => {
        const figures = [median(small.map(rssOf)), median(sparse.map(rssOf))];
        const [least, most] = spreadOf(figures);
        return [
          ownRow(SMALL, small.map(rssOf), []),
          ownRow(SPARSE, sparse.map(rssOf), []),
          { ...ALIKE, ours: most, peer: least, ratio: most / least },
        ];
      },
    }),
};

export const manyAtOnce: Scenario = {
  title: '20 machines, 4 at once',
  needs: [],
  storesMiB: ({ manyMiB }) => manyMiB * MANY,
  targets: [AT_ONCE, AT_ONCE_RSS],
  prepare: (bench) =>
    Promise.resolve({
      contestants: {
        ours: () => bench.freshBackup(['vm/many-*', '--concurrency', '4']),
        stream: () => bench.freshBackup([`vm/${MACHINES.stream}`]),
      },
      rows: ({ ours = [], stream = [] }) => [
        wallRow(AT_ONCE, ours, stream, { gib: (bench.sizes.manyMiB * MANY) / 1024 }),
        ownRow(AT_ONCE_RSS, ours.map(rssOf), []),
      ],
    }),
};
