import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { GIB } from '../../src/common/byte-size.js';
import { MACHINES } from '../pool-data.js';
import { runLeast, type Sample } from '../programs.js';
import { limitNote, ownRow, type Target, wallRow } from '../rows.js';
import { type PreparedScenario, type Scenario } from '../scenario.js';
import { type Workbench } from '../workbench.js';

/** Least of what Xen Orchestra's engine took for the same on the same kind of machine. */
const XO_CPU_SECONDS_PER_GIB = 4.2;

const PIPE: Target = target('full backup over http, verified; against curl | tee file | sha256sum', 1.05);
const PLAIN: Target = target('full backup over http, verified; against curl -o file', 1.5);
const CPU: Target = {
  name: 'full backup over http: CPU of the mover; against Xen Orchestra',
  unit: 'CPU s/GiB',
  target: 1.5,
  targetOf: 'ours',
};
const TLS: Target = target('full backup over https, verified; against curl -o file over https', 1.15);

export const fullBackupHttp: Scenario = {
  title: 'full backup over http',
  needs: ['curl', 'tee', 'sha256sum'],
  storesMiB: ({ bigMiB }) => bigMiB,
  targets: [PIPE, PLAIN, CPU],
  prepare: async (bench) => {
    const { httpUrl } = bench.pool.address;
    const source = `${httpUrl}/export?uuid=${await bench.snapshotOf(MACHINES.big)}`;
    const gib = await archiveGib(bench, source);
    return {
      contestants: {
        ours: () => bench.freshBackup([`vm/${MACHINES.big}`, '--client', 'http']),
        pipe: () => exported(bench, source, (curl, file) => `${curl} | tee ${file} | sha256sum`),
        plain: () => exported(bench, source, (curl, file) => `${curl} -o ${file}`),
        least: () => least(bench, source),
      },
      rows: ({ ours = [], pipe = [], plain = [], least: limit = [] }) => [
        wallRow(PIPE, ours, pipe, { gib }),
        wallRow(PLAIN, ours, plain, { gib, note: limitNote(limit, plain, gib) }),
        ownRow(
          CPU,
          ours.map(({ cpuSeconds }) => cpuSeconds / gib),
          ours,
          { peer: XO_CPU_SECONDS_PER_GIB, note: limitNote(limit, plain, gib) },
        ),
      ],
    };
  },
};

export const fullBackupHttps: Scenario = {
  title: 'full backup over https',
  needs: ['curl'],
  storesMiB: ({ bigMiB }) => bigMiB,
  targets: [TLS],
  prepare: async (bench): Promise<PreparedScenario> => {
    const { url } = bench.pool.address;
    const source = `${url}/export?uuid=${await bench.snapshotOf(MACHINES.big)}`;
    const gib = await archiveGib(bench, source);
    return {
      contestants: {
        ours: () => bench.freshBackup([`vm/${MACHINES.big}`, '--client', 'https']),
        plain: () => exported(bench, source, (curl, file) => `${curl} -o ${file}`),
        least: () => least(bench, source),
      },
      rows: ({ ours = [], plain = [], least: limit = [] }) => [
        wallRow(TLS, ours, plain, { gib, note: limitNote(limit, plain, gib) }),
      ],
    };
  },
};

async function exported(
  bench: Workbench,
  source: string,
  command: (curl: string, file: string) => string,
): Promise<Sample> {
  const file = join(bench.folder, 'peer.xva');
  try {
    return await bench.shell(command(`${bench.curl()} '${source}'`, file));
  } finally {
    await rm(file, { force: true });
  }
}

async function least(bench: Workbench, url: string): Promise<Sample> {
  const file = join(bench.folder, 'least.xva');
  try {
    return await runLeast({ direction: 'download', url, authorization: bench.authorization, file }, bench.run);
  } finally {
    await rm(file, { force: true });
  }
}

/** Also the first request for the data, which the pool then knows the checksums of: nobody is measured cold. */
async function archiveGib(bench: Workbench, source: string): Promise<number> {
  const file = join(bench.folder, 'warm.xva');
  await bench.shell(`${bench.curl()} -o ${file} '${source}'`);
  const { size } = await stat(file);
  await rm(file);
  return size / GIB;
}

function target(name: string, most: number): Target {
  return { name, unit: 'ms', target: most, targetOf: 'ratio' };
}
