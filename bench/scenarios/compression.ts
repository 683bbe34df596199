import { join } from 'node:path';
import zlib from 'node:zlib';
import { MACHINES } from '../pool-data.js';
import { type Sample } from '../programs.js';
import { type Target, wallRow } from '../rows.js';
import { type Scenario } from '../scenario.js';
import { savesetIdOf, type Workbench } from '../workbench.js';

/** Programs that pack as the repository does; Node 20 has no zstd of its own. */
const PROGRAMS = 'createZstdCompress' in zlib ? (['gzip', 'zstd'] as const) : (['gzip'] as const);
/** The levels that the repository packs with. */
const COMMANDS = { gzip: 'gzip -1', zstd: 'zstd -3 -q' };
const REPOSITORY = 'packed';

type Program = (typeof PROGRAMS)[number];

/** Packing beside the transfer in threads of its own: it has to cost less than the one after the other. */
export const packedRepository: Scenario = {
  title: 'packed repository',
  needs: PROGRAMS,
  targets: PROGRAMS.map(targetOf),
  prepare: (bench) =>
    Promise.resolve({
      contestants: Object.fromEntries(
        PROGRAMS.flatMap((program) => [
          [program, () => bench.freshBackup([`vm/${MACHINES.text}`, '--compress', program])],
          [`${program} afterwards`, () => packedAfterwards(bench, program)],
        ]),
      ),
      rows: (taken) =>
        PROGRAMS.map((program) =>
          wallRow(targetOf(program), taken[program] ?? [], taken[`${program} afterwards`] ?? [], {
            gib: bench.sizes.textMiB / 1024,
          }),
        ),
    }),
};

async function packedAfterwards(bench: Workbench, program: Program): Promise<Sample> {
  try {
    const plain = await bench.backup([`vm/${MACHINES.text}`, '--compress', 'none'], REPOSITORY);
    const folder = join(bench.repositoryPath(REPOSITORY), 'savesets', savesetIdOf(plain));
    const packed = await bench.shell(`${COMMANDS[program]} ${folder}/*.xva`);
    return { ...packed, wallMs: plain.wallMs + packed.wallMs, cpuSeconds: plain.cpuSeconds + packed.cpuSeconds };
  } finally {
    await bench.emptyRepository(REPOSITORY);
  }
}

function targetOf(program: Program): Target {
  return {
    name: `full backup of text, ${program} in the repository; against the same and then ${program}`,
    unit: 'ms',
    target: 1,
    targetOf: 'ratio',
  };
}
