import { join } from 'node:path';
import { rm, stat } from 'node:fs/promises';
import { GIB } from '../../src/common/byte-size.js';
import { MACHINES, STORAGE_UUID } from '../pool-data.js';
import { runLeast } from '../programs.js';
import { limitNote, type Target, wallRow } from '../rows.js';
import { type Scenario } from '../scenario.js';
import { savesetIdOf } from '../workbench.js';

const UPLOAD: Target = {
  name: 'restore over http, verified; against curl -T',
  unit: 'ms',
  target: 1.1,
  targetOf: 'ratio',
};
const CHAIN: Target = {
  name: 'restore of a full and 10 increments; against the full alone',
  unit: 'ms',
  target: 1.2,
  targetOf: 'ratio',
};
const CHAIN_LENGTH = 10;
const CHANGES_EACH = 100;

export const restoreMachine: Scenario = {
  title: 'restore over http',
  needs: ['curl'],
  targets: [UPLOAD],
  prepare: async (bench) => {
    const file = join(bench.folder, 'upload.xva');
    bench.cleanups.add('the archive of the peer', () => rm(file, { force: true }));
    const { httpUrl } = bench.pool.address;
    const url = `${httpUrl}/import?sr_uuid=${STORAGE_UUID}`;
    const snapshot = await bench.snapshotOf(MACHINES.big);
    await bench.shell(`${bench.curl()} -o ${file} '${httpUrl}/export?uuid=${snapshot}'`);
    const gib = (await stat(file)).size / GIB;
    await bench.emptyRepository('restore');
    bench.cleanups.add('the repository to restore from', () => bench.emptyRepository('restore'));
    const id = savesetIdOf(await bench.backup([`vm/${MACHINES.big}`], 'restore'));
    let count = 0;
    return {
      contestants: {
        ours: () => bench.xenBackup(['restore', id, '--as', `restored ${(count += 1)}`], 'restore'),
        // As xe does it: no wait for a "100 Continue", which XAPI never sends.
        curl: () => bench.shell(`${bench.curl()} --http1.0 -H Expect: -T ${file} '${url}'`),
        least: () => runLeast({ direction: 'upload', url, authorization: bench.authorization, file }, bench.run),
      },
      rows: ({ ours = [], curl = [], least = [] }) => [
        wallRow(UPLOAD, ours, curl, { gib, note: limitNote(least, curl, gib) }),
      ],
    };
  },
};

export const restoreChain: Scenario = {
  title: 'restore of a chain',
  needs: [],
  targets: [CHAIN],
  prepare: async (bench) => {
    await bench.emptyRepository('chain');
    bench.cleanups.add('the repository of the chain', () => bench.emptyRepository('chain'));
    const backup = async (level: string): Promise<string> => {
      const args = [`vm/${MACHINES.chain}`, '--format', 'disks', '--level', level];
      return savesetIdOf(await bench.backup(args, 'chain'));
    };
    const full = await backup('full');
    let newest = full;
    for (let link = 0; link < CHAIN_LENGTH; link += 1) {
      await bench.scatter(MACHINES.chain, bench.sizes.chainMiB, CHANGES_EACH);
      newest = await backup('incremental');
    }
    let count = 0;
    const restored = (id: string) => () =>
      bench.xenBackup(['restore', id, '--as', `chain restored ${(count += 1)}`], 'chain');
    return {
      contestants: { ours: restored(newest), full: restored(full) },
      rows: ({ ours = [], full: alone = [] }) => [
        wallRow(CHAIN, ours, alone, {
          gib: bench.sizes.chainMiB / 1024,
          note: `${CHAIN_LENGTH} increments of ${CHANGES_EACH} changes of 64 KiB each`,
        }),
      ],
    };
  },
};
