/** The roles of XAPI, from the one that may least; each may all that those before it may. */
export const ROLES = ['read-only', 'vm-operator', 'vm-admin', 'vm-power-admin', 'pool-operator', 'pool-admin'] as const;

export type Role = (typeof ROLES)[number];

/** The roles that may do what needs at least `least`; none when only the local superuser may. In XAPI's order. */
export function rolesFrom(least: Role | undefined): readonly Role[] {
  return least === undefined ? [] : ROLES.slice(ROLES.indexOf(least)).reverse();
}
