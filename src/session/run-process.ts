import { createHash } from 'node:crypto';
import { isProcessAlive, ownProcess } from '../common/process-identity.js';
import { readRunMark } from './run-marks.js';

type Marked = Iterable<{ readonly other_config: Readonly<Record<string, string>> }>;

/** This process in the few characters that a mark may have; it says nothing about the machine to others. */
export function runProcess(): string {
  const { machine, pid, processStart } = ownProcess();
  return `${digestOf(machine)}:${pid}:${processStart}`;
}

/**
 * Whether the process that is named in a mark lives: a clock may jump and leases with it, but a process of this machine
 * can be asked. Undefined for those of other machines, and for marks without one.
 */
export function isRunProcessAlive(text: string | undefined): boolean | undefined {
  const [digest, pid, processStart = ''] = text?.split(':') ?? [];
  const { machine } = ownProcess();
  const number = Number(pid);
  if (digest !== digestOf(machine) || !Number.isInteger(number) || number <= 0) return undefined;
  return isProcessAlive({ machine, pid: number, processStart });
}

/** Runs whose process is another one of this machine, and lives. */
export function runsOfLivingProcesses(objects: Marked): ReadonlySet<string> {
  const runs = new Set<string>();
  for (const { other_config: config } of objects) {
    const mark = readRunMark(config);
    // What this process runs it knows by itself.
    if (mark?.process === undefined || mark.process === runProcess() || runs.has(mark.run)) continue;
    if (isRunProcessAlive(mark.process) === true) runs.add(mark.run);
  }
  return runs;
}

function digestOf(machine: string): string {
  return createHash('sha256').update(machine).digest('hex').slice(0, 16);
}
