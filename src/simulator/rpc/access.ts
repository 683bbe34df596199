import { rolesFrom, type Role } from '../datamodel/role.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';

/**
 * Lets only sessions through whose role is `least` or more; undefined stands for the local superuser alone. Throws
 * RBAC_PERMISSION_DENIED [permission, text].
 */
export function assertRole(pool: SimulatedPool, session: string, permission: string, least: Role | undefined): void {
  const role = pool.sessions.roleOf(session);
  if (role === undefined) return;
  const allowed = rolesFrom(least);
  if (allowed.includes(role)) return;
  throw new SimulatedFailure('RBAC_PERMISSION_DENIED', [
    permission,
    `No permission in user session. (Roles with this permission: ${allowed.join(', ')})`,
  ]);
}
