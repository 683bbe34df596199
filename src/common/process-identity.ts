import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** A process so that it is not taken for another one, also not for one that gets its number later. */
export interface ProcessIdentity {
  readonly machine: string;
  readonly pid: number;
  /** Start of the process as the kernel counts it; empty where there is no /proc, and then the number alone decides. */
  readonly processStart: string;
}

let own: ProcessIdentity | undefined;

/** This process. */
export function ownProcess(): ProcessIdentity {
  own ??= processOnThisMachine(process.pid);
  return own;
}

/** One of this machine, as it is now. */
export function processOnThisMachine(pid: number): ProcessIdentity {
  return { machine: machineId(), pid, processStart: processStart(pid) };
}

/** Undefined when it is of another machine, where nobody here can look. */
export function isProcessAlive({ machine, pid, processStart: since }: ProcessIdentity): boolean | undefined {
  if (machine !== ownProcess().machine) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return processStart(pid) === since;
}

/** Field 22 of /proc/<pid>/stat. */
function processStart(pid: number): string {
  const text = contentOf(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  return (
    text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .at(19) ?? ''
  );
}

/** Two containers on one machine do not see each other's processes: the namespace is part of the name. */
function machineId(): string {
  const boot = contentOf(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'));
  const namespace = contentOf(() => readlinkSync('/proc/self/ns/pid'));
  return [hostname(), boot.trim(), namespace].join('/');
}

function contentOf(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
