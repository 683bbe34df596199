import { cpus, totalmem } from 'node:os';
import { type Row } from './scenario.js';
import { hasPassed } from './rows.js';

/** The rows as data: one array. */
export function toJson(rows: readonly Row[]): string {
  const entries = rows.map((row) => {
    const { name, ours, peer, ratio, target, ...rest } = row;
    return {
      name,
      ours: ours ?? null,
      peer: peer ?? null,
      ratio: ratio ?? null,
      target,
      pass: hasPassed(row),
      ...rest,
    };
  });
  return `${JSON.stringify(entries, undefined, 1)}\n`;
}

/** One row for people. */
export function toText(row: Row): string {
  const { name, unit, ours, peer, ratio, target, targetOf, spread, cpuSecondsPerGib, peakRssMiB, note } = row;
  const value = targetOf === 'ratio' ? ratio : ours;
  const details = [
    `ours ${figure(ours)}${peer === undefined ? '' : `, peer ${figure(peer)}`} ${unit}`,
    ...(spread === undefined ? [] : [`spread ${figure(spread[0])} to ${figure(spread[1])}`]),
    ...(cpuSecondsPerGib === undefined ? [] : [`${figure(cpuSecondsPerGib)} CPU s/GiB`]),
    ...(peakRssMiB === undefined ? [] : [`peak RSS ${peakRssMiB.toFixed(0)} MiB`]),
  ];
  const verdict = hasPassed(row) ? 'ok  ' : 'MISS';
  const lines = [
    `${verdict} ${figure(value).padStart(6)}  (at most ${target}${targetOf === 'ratio' ? ' x' : ` ${unit}`})  ${name}`,
  ];
  lines.push(`             ${details.join(', ')}`);
  if (note !== undefined) lines.push(`             ${note}`);
  return `${lines.join('\n')}\n`;
}

/** What it was measured on. */
export function machineLine(): string {
  const [first] = cpus();
  const memory = `${(totalmem() / 2 ** 30).toFixed(0)} GiB`;
  return `${cpus().length} x ${first?.model ?? 'unknown'}, ${memory}, ${process.platform} ${process.arch}, Node ${process.versions.node}`;
}

function figure(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '-';
  return value >= 100 ? value.toFixed(0) : value.toFixed(2);
}
