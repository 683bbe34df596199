import { type CheckLine } from '../contract/index.js';

/** XAPI's roles from the one that may least; each may all that those before it may (facts of the datamodel). */
const ROLES = ['read-only', 'vm-operator', 'vm-admin', 'vm-power-admin', 'pool-operator', 'pool-admin'] as const;
type Role = (typeof ROLES)[number];

/** Snapshots and SR.scan. */
const FOR_MACHINES: Role = 'vm-power-admin';
/** `/export` and `/import`. */
const FOR_ARCHIVES: Role = 'vm-admin';
/** `/pool/xmldbdump` and `/host_backup`. */
const FOR_THE_POOL: Role = 'pool-admin';

export interface AccountFacts {
  readonly username: string;
  /** The account of the hosts themselves (root): no role, every right. */
  readonly isLocalSuperuser: boolean;
  /** Names of its roles. */
  readonly roles: readonly string[];
}

/** The role of the account against what backups and restores will ask of it. */
export function roleFinding({ username, isLocalSuperuser, roles }: AccountFacts): CheckLine {
  if (isLocalSuperuser) {
    return { status: 'ok', check: 'role', message: `${username} is the pool's superuser and may do everything.` };
  }
  const rank = Math.max(-1, ...roles.map((role) => ROLES.indexOf(role as Role)));
  const role = ROLES[rank];
  if (role === undefined) {
    const message = `${username} has ${roles.length === 0 ? 'no role' : `only the unknown role ${roles.join(', ')}`}.`;
    return { status: 'warning', check: 'role', message, hint: 'Give it the role vm-power-admin or a higher one.' };
  }
  if (rank >= ROLES.indexOf(FOR_THE_POOL)) {
    return { status: 'ok', check: 'role', message: `${username} has the role ${role} and may do everything.` };
  }
  if (rank >= ROLES.indexOf(FOR_MACHINES)) {
    return {
      status: 'ok',
      check: 'role',
      message: `${username} has the role ${role} and may save and restore VMs and templates.`,
      hint: `Backups of the pool's metadata and of hosts need the role ${FOR_THE_POOL}.`,
    };
  }
  const message =
    rank >= ROLES.indexOf(FOR_ARCHIVES)
      ? `${username} has the role ${role}: no snapshots, so no running VM can be saved.`
      : `${username} has the role ${role}: it may look at the pool but not work in it.`;
  return { status: 'error', check: 'role', message, hint: `Give it the role ${FOR_MACHINES} or a higher one.` };
}

/** Restrictions of the edition that cost something here, and what. */
const RESTRICTIONS: Readonly<Record<string, string>> = {
  restrict_cbt: 'changed blocks of disks are not tracked, so increments keep a whole snapshot in the pool',
  restrict_checkpoint: 'no snapshot can hold the memory of a VM',
  restrict_vss: 'no Windows guest can be quiesced',
};

/** Licence features that backups use. Older pools don't have all restrictions; what is not named is not forbidden. */
export function licenceFinding(restrictions: Readonly<Record<string, string>>): CheckLine {
  const missing = Object.entries(RESTRICTIONS).filter(([name]) => restrictions[name] === 'true');
  if (missing.length === 0) {
    return { status: 'ok', check: 'licence', message: 'The licence forbids nothing that backups use.' };
  }
  return {
    status: 'warning',
    check: 'licence',
    message: `The licence of the pool forbids something: ${missing.map(([, effect]) => effect).join('; ')}.`,
    hint: `Use an edition without ${missing.map(([name]) => name).join(', ')}, or do without.`,
  };
}

/** How bulk data will travel, and whether every host will take it that way. */
export function transportFindings(
  dataTransport: 'https' | 'http',
  httpsOnlyHosts: readonly string[],
): readonly CheckLine[] {
  if (dataTransport === 'https') {
    return [{ status: 'ok', check: 'transport', message: 'Bulk data goes over https.' }];
  }
  const hint = 'Set dataTransport to https.';
  const open: CheckLine = {
    status: 'warning',
    check: 'transport',
    message: 'Bulk data goes over plain http; it can be read on the network.',
    hint,
  };
  if (httpsOnlyHosts.length === 0) return [open];
  const message = `Bulk data would go over plain http, which these hosts refuse: ${httpsOnlyHosts.join(', ')}.`;
  return [open, { status: 'error', check: 'transport', message, hint }];
}
