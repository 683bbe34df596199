import { formatBytes } from '../../common/byte-size.js';
import { type RestorePlan } from '../../contract/index.js';
import { type CliOutput, withoutControls } from './cli-output.js';

const TARGETS: Readonly<Record<RestorePlan['mode'], string>> = {
  new: 'A new object',
  overwrite: 'Overwrite',
  disk: 'A new disk',
};

/** A restore plan for people: what goes where, every setting that changes, then the steps. */
export function sayPlan(output: CliOutput, plan: RestorePlan): void {
  const { mode, targetName, targetId, storage, steps, warnings } = plan;
  const target = targetId === undefined ? withoutControls(targetName) : `${withoutControls(targetName)} (${targetId})`;
  output.line(`${TARGETS[mode]}: ${output.paint('bold', target)}`);
  const free = storage.freeBytes === undefined ? '' : `, ${formatBytes(storage.freeBytes)} free`;
  const room = `${formatBytes(storage.neededBytes)} needed${free}`;
  output.line(`Storage: ${withoutControls(storage.name)} (${room})`);
  output.line();
  sayDisks(output, plan);
  sayInterfaces(output, plan);
  sayChanges(output, plan);
  steps.forEach(({ description, isDestructive }, index) => {
    const text = `${String(index + 1).padStart(2)}. ${withoutControls(description)}`;
    output.line(isDestructive ? `${text} ${output.paint('yellow', '[replaces what is there]')}` : text);
  });
  for (const { code, message } of warnings) {
    output.line(`${output.paint('yellow', `warning ${code}:`)} ${withoutControls(message)}`);
  }
}

function sayDisks(output: CliOutput, { disks = [] }: RestorePlan): void {
  if (disks.length === 0) return;
  const replaces = disks.some((disk) => disk.replaces !== undefined);
  const rows = disks.map((disk) => [
    disk.position,
    disk.name,
    formatBytes(disk.sizeBytes),
    arrow(disk.fromStorage, disk.toStorage),
    ...(replaces ? [disk.replaces ?? '-'] : []),
  ]);
  output.table(['DISK', 'NAME', 'SIZE', 'STORAGE', ...(replaces ? ['REPLACES'] : [])], rows, { right: [2] });
  output.line();
}

function sayInterfaces(output: CliOutput, { interfaces = [] }: RestorePlan): void {
  if (interfaces.length === 0) return;
  const rows = interfaces.map((one) => [
    one.position,
    arrow(one.fromNetwork, one.toNetwork),
    arrow(one.fromAddress, one.toAddress ?? 'a new address'),
  ]);
  output.table(['INTERFACE', 'NETWORK', 'MAC ADDRESS'], rows);
  output.line();
}

function sayChanges(output: CliOutput, { changes, mode }: RestorePlan): void {
  if (changes === undefined) return;
  if (changes.length === 0) {
    output.line(mode === 'new' ? 'Every setting comes back as it was saved.' : 'No setting will change.');
  } else {
    const rows = changes.map(({ what, from, to }) => [what, arrow(from ?? '(none)', to ?? '(none)')]);
    output.table(['CHANGES', mode === 'new' ? 'SAVED -> RESTORED' : 'NOW -> AFTERWARDS'], rows);
  }
  output.line();
}

function arrow(from: string, to: string): string {
  return from === to ? to : `${from} -> ${to}`;
}
