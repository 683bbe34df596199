import { BackupError } from '../contract/index.js';

/** The kinds of source that a name may begin with. */
export type MachineKind = 'vm' | 'template';

/** What resolution must know of a machine record; the field names are XAPI's. */
export interface NameableMachine {
  readonly uuid: string;
  readonly name_label: string;
  readonly is_a_template: boolean;
  readonly is_default_template: boolean;
  readonly is_a_snapshot: boolean;
  readonly is_control_domain: boolean;
}

export interface MachineName {
  /** Undefined: a bare word, which may be either kind. */
  readonly kind: MachineKind | undefined;
  /** UUID or display name. */
  readonly text: string;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** How many candidates a message lists before it says "and so many more". */
const LISTED_CANDIDATES = 10;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/**
 * Splits `vm/<uuid or name>`, `template/<uuid or name>` or a bare display name. A bare name may contain slashes: only a
 * known first word makes a kind.
 * @throws {BackupError} REQUEST_INVALID for an empty name, OBJECT_NOT_SUPPORTED for a kind that isn't offered.
 */
export function parseMachineName(typed: string): MachineName {
  const trimmed = typed.trim();
  const match = /^(vm|template|pool|host)\/(.*)$/s.exec(trimmed);
  const kind = match?.[1];
  const text = match?.[2] ?? trimmed;
  if (text === '') {
    throw new BackupError('REQUEST_INVALID', `"${typed}" names nothing.`, {
      hint: 'Write vm/<uuid or name> or template/<uuid or name>; vm/* and template/* are all of them.',
    });
  }
  if (kind === 'pool' || kind === 'host') {
    throw new BackupError('OBJECT_NOT_SUPPORTED', `"${trimmed}" is no machine.`, {
      hint: 'Machines and templates are vm/<uuid or name>, template/<uuid or name>.',
    });
  }
  return { kind: kind === 'vm' || kind === 'template' ? kind : undefined, text };
}

/** The kind of a machine record that can be saved. */
export function machineKind(machine: Pick<NameableMachine, 'is_a_template'>): MachineKind {
  return machine.is_a_template ? 'template' : 'vm';
}

/** The path that always means this machine and no other. */
export function machinePath(machine: Pick<NameableMachine, 'uuid' | 'is_a_template'>): string {
  return `${machineKind(machine)}/${machine.uuid}`;
}

/**
 * The one machine that a typed name stands for. A UUID wins over a display name that looks like one. Snapshots, control
 * domains and the templates that come with the product never match.
 * @throws {BackupError} OBJECT_NOT_FOUND, OBJECT_AMBIGUOUS with the candidates' UUIDs, OBJECT_NOT_SUPPORTED for a
 *   template that comes with the product and a machine that only exists inside the pool (snapshot, control domain).
 */
export function resolveMachine<Machine extends NameableMachine>(typed: string, machines: Iterable<Machine>): Machine {
  const { kind, text } = parseMachineName(typed);
  const everything = [...machines];
  const wanted = text.toLowerCase();
  const byUuid = everything.filter(({ uuid }) => uuid.toLowerCase() === wanted);
  const named = byUuid.length > 0 ? byUuid : everything.filter(({ name_label }) => name_label === text);
  const fitting = named.filter(
    (machine) => isSavable(machine) && (kind ?? machineKind(machine)) === machineKind(machine),
  );
  const [first, ...others] = fitting;
  if (first === undefined) throw noMatch(typed, text, kind, named);
  if (others.length > 0) throw ambiguous(typed, fitting);
  return first;
}

function isSavable(machine: NameableMachine): boolean {
  return !machine.is_a_snapshot && !machine.is_control_domain && !machine.is_default_template;
}

function noMatch(
  typed: string,
  text: string,
  kind: MachineKind | undefined,
  named: readonly NameableMachine[],
): BackupError {
  if (kind !== 'vm' && named.some(({ is_default_template: isDefault }) => isDefault)) {
    return new BackupError(
      'OBJECT_NOT_SUPPORTED',
      `"${text}" is a template that comes with the product and holds no data.`,
      {
        hint: 'Nothing is lost without it: every pool brings its own copy. Back up a template that was made here.',
        context: { source: typed },
      },
    );
  }
  const hidden = isUuid(text) ? named.find((machine) => !isSavable(machine)) : undefined;
  if (hidden !== undefined) {
    const what = hidden.is_a_snapshot
      ? 'a snapshot; back up the machine it belongs to'
      : hidden.is_control_domain
        ? 'the control domain of a host'
        : 'a template that comes with the product';
    return new BackupError('OBJECT_NOT_SUPPORTED', `"${text}" is ${what}.`, { context: { source: typed } });
  }
  const otherKind = named.find(isSavable);
  return new BackupError('OBJECT_NOT_FOUND', `Nothing in the pool is called "${typed}".`, {
    hint:
      otherKind === undefined
        ? 'Names must fit exactly, upper and lower case included; browse the pool to see them.'
        : `There is a ${machineKind(otherKind)} of that name: ${machinePath(otherKind)}.`,
    context: { source: typed },
  });
}

function ambiguous(typed: string, candidates: readonly NameableMachine[]): BackupError {
  const paths = candidates.map((machine) => machinePath(machine));
  const listed = paths.slice(0, LISTED_CANDIDATES).join(', ');
  const more = paths.length > LISTED_CANDIDATES ? ` and ${paths.length - LISTED_CANDIDATES} more` : '';
  return new BackupError('OBJECT_AMBIGUOUS', `"${typed}" fits ${paths.length} objects: ${listed}${more}.`, {
    hint: 'Use one of these paths.',
    context: { source: typed, candidates: candidates.map(({ uuid }) => uuid) },
  });
}
