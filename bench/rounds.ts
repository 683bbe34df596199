import { type Sample } from './programs.js';
import { type PreparedScenario, type Row } from './scenario.js';

/** Runs the contestants in turn, A B A B, so that whatever else this computer does strikes all of them alike. */
export async function runRounds(
  { contestants, rows }: PreparedScenario,
  runs: number,
  onSample: (contestant: string, sample: Sample) => void = () => undefined,
): Promise<readonly Row[]> {
  const taken: Record<string, Sample[]> = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (let round = 0; round < runs; round += 1) {
    for (const [name, run] of Object.entries(contestants)) {
      const sample = await run();
      taken[name]?.push(sample);
      onSample(name, sample);
    }
  }
  return rows(taken);
}
