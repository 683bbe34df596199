import { type Role, ROLES } from '../datamodel/role.js';
import { type CompletePool } from '../pool-definition.js';
import { type SimulatedPool } from '../simulated-pool.js';

const DIRECTORY = { external_auth_type: 'AD', external_auth_service_name: 'example.com' };

/**
 * The roles of XAPI, and a subject for everybody who may log in besides the local superuser. A pool with users trusts a
 * directory.
 */
export function buildUsers(pool: SimulatedPool, users: CompletePool['users']): void {
  const { store, sessions } = pool;
  const roles = new Map<Role, string>(
    ROLES.map((name) => [name, store.create('role', { name_label: name, name_description: `The ${name} role` })]),
  );
  for (const [index, { name, password, role }] of users.entries()) {
    const roleRef = role === undefined ? undefined : roles.get(role);
    const identifier = `S-1-5-21-1004336348-1177238915-682003330-${1000 + index}`;
    const subject = store.create('subject', {
      subject_identifier: identifier,
      other_config: { 'subject-name': name, 'subject-is-group': 'false' },
      roles: roleRef === undefined ? [] : [roleRef],
    });
    sessions.addUser({ username: name, password, role, subject, identifier });
  }
  if (users.length === 0) return;
  for (const [host] of store.all('host')) store.patch('host', host, DIRECTORY);
}
