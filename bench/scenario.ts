import { type BenchSizes } from './pool-data.js';
import { type Workbench } from './workbench.js';
import { type Sample } from './programs.js';

/** What one row of the report says. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  /** Medians, in `unit`; undefined when it could not be measured. */
  readonly ours: number | undefined;
  readonly peer: number | undefined;
  /** Median of the rounds' own ratios. */
  readonly ratio: number | undefined;
  /** The most that `ratio` may be, or `ours` itself. */
  readonly target: number;
  readonly targetOf: 'ratio' | 'ours';
  /** Least and most of what the target is of, over the rounds. */
  readonly spread?: readonly [number, number];
  readonly cpuSecondsPerGib?: number;
  readonly peakRssMiB?: number;
  readonly note?: string;
}

/** The samples of all rounds, by contestant. */
export type Taken = Readonly<Record<string, readonly Sample[]>>;

/** Programs that do the same work in turn, and what is to be said of them. */
export interface Scenario {
  readonly title: string;
  /** Programs that must be installed, for it to count. */
  readonly needs: readonly string[];
  /** The most that a contestant stores; memory for so much is kept warm. */
  readonly storesMiB?: (sizes: BenchSizes) => number;
  /** Names of the rows that it gives, so that they can be reported as not measured. */
  readonly prepare: (bench: Workbench) => Promise<PreparedScenario>;
  /** What it would have told, for the report when a program is missing. */
  readonly targets: readonly Pick<Row, 'name' | 'unit' | 'target' | 'targetOf'>[];
}

export interface PreparedScenario {
  /** In the order of a round. Each puts away what it made, outside of the measured time. */
  readonly contestants: Readonly<Record<string, () => Promise<Sample>>>;
  readonly rows: (taken: Taken) => readonly Row[];
}
