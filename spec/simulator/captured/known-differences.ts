import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../../src/common/package-root.js';
import { type Comparison } from './comparison.js';

interface KnownDifference {
  /** The place of a difference; `*` stands for anything. */
  readonly where: string;
  readonly reason: string;
}

const KNOWN = JSON.parse(
  readFileSync(join(packageRoot(), 'fixtures/captured/known-differences.json'), 'utf8'),
) as readonly KnownDifference[];

interface LeftOutStep {
  readonly flow: string;
  readonly step: string;
  readonly reason: string;
}

/** The captured steps of a flow that are listed, with a reason, instead of being replayed. */
export function notReplayed(flow: string): readonly string[] {
  const text = readFileSync(join(packageRoot(), 'fixtures/captured/not-replayed.json'), 'utf8');
  return (JSON.parse(text) as readonly LeftOutStep[]).filter((one) => one.flow === flow).map(({ step }) => step);
}

/** The differences that nobody gave a reason for, and the listed ones that are none (any more), as text for a report. */
export function surprisesIn(flow: string, comparison: Comparison): readonly string[] {
  const known = KNOWN.filter(({ where }) => where.startsWith(`${flow}: `)).map((one) => ({
    ...one,
    pattern: patternOf(one.where),
  }));
  const unlisted = comparison.differences
    .filter(({ place }) => !known.some(({ pattern }) => pattern.test(place)))
    .map(({ place, captured, simulated }) => `${place}\n   captured: ${captured}\n  simulated: ${simulated}`);
  const outdated = known
    .filter(({ pattern }) => !comparison.differences.some(({ place }) => pattern.test(place)))
    .map(({ where }) => `${where}\n  is listed as a difference, but there is none`);
  return [...unlisted, ...outdated];
}

function patternOf(where: string): RegExp {
  const parts = where.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's');
}
