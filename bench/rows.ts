import { type Sample } from './programs.js';
import { type Row } from './scenario.js';
import { median, spreadOf } from './statistics.js';

export type Target = Pick<Row, 'name' | 'unit' | 'target' | 'targetOf'>;

interface Extras {
  readonly gib?: number;
  readonly note?: string;
}

/** Our wall clock against a peer's, round by round. */
export function wallRow(
  target: Target,
  ours: readonly Sample[],
  peer: readonly Sample[],
  { gib, note }: Extras = {},
): Row {
  const oursMs = ours.map(({ wallMs }) => wallMs);
  const peerMs = peer.map(({ wallMs }) => wallMs);
  const ratios = oursMs.map((wallMs, round) => wallMs / (peerMs[round] ?? Number.NaN));
  return {
    ...target,
    ours: median(oursMs),
    peer: median(peerMs),
    ratio: median(ratios),
    spread: spreadOf(ratios),
    ...usageOf(ours, gib),
    ...(note === undefined ? {} : { note }),
  };
}

/** A figure of ours that has a limit of its own. `peer` is a figure known from elsewhere. */
export function ownRow(
  target: Target,
  values: readonly number[],
  samples: readonly Sample[],
  { peer, gib, note }: Extras & { readonly peer?: number } = {},
): Row {
  const ours = median(values);
  return {
    ...target,
    ours,
    peer,
    ratio: peer === undefined ? undefined : ours / peer,
    spread: spreadOf(values),
    ...usageOf(samples, gib),
    ...(note === undefined ? {} : { note }),
  };
}

/** What is to be said of the limit: `least-mover.ts` in the same rounds. */
export function limitNote(least: readonly Sample[], peer: readonly Sample[], gib: number): string {
  const wallMs = median(least.map((sample) => sample.wallMs));
  const ratio = median(least.map((sample, round) => sample.wallMs / (peer[round]?.wallMs ?? Number.NaN)));
  const cpu = median(least.map(({ cpuSeconds }) => cpuSeconds)) / gib;
  return `the least that Node needs for the bytes and both checksums: ${wallMs.toFixed(0)} ms, ${ratio.toFixed(2)} x the peer, ${cpu.toFixed(2)} CPU s/GiB`;
}

export function hasPassed({ ours, ratio, target, targetOf }: Row): boolean {
  const value = targetOf === 'ratio' ? ratio : ours;
  return value !== undefined && value <= target;
}

function usageOf(samples: readonly Sample[], gib: number | undefined): Pick<Row, 'cpuSecondsPerGib' | 'peakRssMiB'> {
  const rss = samples.flatMap(({ peakRssMiB }) => (peakRssMiB === undefined ? [] : [peakRssMiB]));
  return {
    ...(gib === undefined ? {} : { cpuSecondsPerGib: median(samples.map(({ cpuSeconds }) => cpuSeconds)) / gib }),
    ...(rss.length === 0 ? {} : { peakRssMiB: Math.max(...rss) }),
  };
}
