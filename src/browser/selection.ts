import { BackupError } from '../contract/index.js';
import { runOfTemporaryName } from '../session/run-marks.js';
import { type PowerState } from '../xapi/xapi-records.js';
import { machineKind, type MachineKind, type NameableMachine } from './source-name.js';

/** What a selection must know of a machine record; the field names are XAPI's. */
export interface SelectableMachine extends NameableMachine {
  readonly power_state: PowerState;
  readonly tags: readonly string[];
}

/** What a typed pattern asks for. */
export interface MachinePattern {
  readonly kind: MachineKind;
  readonly by: 'name' | 'tag' | 'state';
  /** A glob for names and tags; a power state in lower case otherwise. */
  readonly text: string;
}

/** A machine that a pattern fits. */
export interface SelectedMachine<Machine> {
  readonly machine: Machine;
  /** Why it is not saved although the pattern fits. */
  readonly skipReason: string | undefined;
}

const STATES = ['running', 'halted', 'paused', 'suspended'];
const NO_BACKUP_TAG = /^xo:no-bak(=(.*))?$/is;

/**
 * The pattern in `vm/web-*`, `template/*`, `tag:nightly`, `state:running` or a bare `web-*` (machines, no templates);
 * undefined when it is a name and no pattern. `*` stands for any characters, `?` for one.
 * @throws {BackupError} REQUEST_INVALID for a power state that doesn't exist and an empty tag.
 */
export function parseMachinePattern(typed: string): MachinePattern | undefined {
  const trimmed = typed.trim();
  const [, word, rest = ''] = /^(tag|state):(.*)$/s.exec(trimmed) ?? [];
  if (word === 'state') {
    const text = rest.toLowerCase();
    if (STATES.includes(text)) return { kind: 'vm', by: 'state', text };
    throw invalid(
      `"${rest}" is no power state.`,
      `Write one of: ${STATES.map((state) => `state:${state}`).join(', ')}.`,
    );
  }
  if (word === 'tag') {
    if (rest === '')
      throw invalid(`"${typed}" names no tag.`, 'Write tag: and the name of a tag; * and ? may be in it.');
    return { kind: 'vm', by: 'tag', text: rest };
  }
  const [, kind, below] = /^(vm|template|pool|host)\/(.*)$/s.exec(trimmed) ?? [];
  const text = below ?? trimmed;
  if (!/[*?]/.test(text) || kind === 'pool' || kind === 'host') return undefined;
  return { kind: kind === 'template' ? 'template' : 'vm', by: 'name', text };
}

/**
 * The machines that a pattern fits, by name. Snapshots, control domains, templates that come with the product and what a
 * run of ours has in the making never fit. Machines that carry the tag `xo:no-bak` are named with the reason. Undefined
 * when it is no pattern, or when a machine is called just that.
 * @throws {BackupError} OBJECT_NOT_FOUND when nothing fits; REQUEST_INVALID.
 */
export function selectMachines<Machine extends SelectableMachine>(
  typed: string,
  kind: MachineKind,
  machines: Iterable<Machine>,
): readonly SelectedMachine<Machine>[] | undefined {
  const pattern = parseMachinePattern(typed);
  if (pattern?.kind !== kind) return undefined;
  const all = [...machines].filter((machine) => isEligible(machine) && machineKind(machine) === kind);
  const literal = pattern.by === 'name' ? pattern.text : typed.trim();
  if (all.some(({ name_label: name }) => name === literal)) return undefined;
  const fits = matcherOf(pattern);
  const chosen = all.filter(fits).sort(byNameThenUuid);
  if (chosen.length > 0) return chosen.map((machine) => ({ machine, skipReason: noBackupReason(machine.tags) }));
  throw new BackupError('OBJECT_NOT_FOUND', `Nothing in the pool fits "${typed}".`, {
    hint: 'Upper and lower case must fit; browse the pool to see names, tags and power states.',
    context: { source: typed },
  });
}

/** What the tag `xo:no-bak` or `xo:no-bak=<reason>` says; undefined without it. */
export function noBackupReason(tags: readonly string[]): string | undefined {
  const tag = tags.find((candidate) => NO_BACKUP_TAG.test(candidate));
  return tag === undefined ? undefined : `it carries the tag ${tag}`;
}

function isEligible(machine: SelectableMachine): boolean {
  const isHidden = machine.is_a_snapshot || machine.is_control_domain || machine.is_default_template;
  return !isHidden && runOfTemporaryName(machine.name_label) === undefined;
}

function matcherOf({ by, text }: MachinePattern): (machine: SelectableMachine) => boolean {
  if (by === 'state') return ({ power_state: state }) => state.toLowerCase() === text;
  const glob = globExpression(text);
  return by === 'tag' ? ({ tags }) => tags.some((tag) => glob.test(tag)) : ({ name_label: name }) => glob.test(name);
}

/** Runs of `*` are one: `**` must not make the expression slow. */
function globExpression(glob: string): RegExp {
  const source = glob
    .replace(/\*+/g, '*')
    .replace(/[\\^$.|+()[\]{}]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  return new RegExp(`^${source}$`, 'su');
}

function byNameThenUuid(a: SelectableMachine, b: SelectableMachine): number {
  if (a.name_label !== b.name_label) return a.name_label < b.name_label ? -1 : 1;
  return a.uuid < b.uuid ? -1 : 1;
}

function invalid(message: string, hint: string): BackupError {
  return new BackupError('REQUEST_INVALID', message, { hint });
}
