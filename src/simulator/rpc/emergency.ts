import { SimulatedFailure } from '../simulated-failure.js';

/** What a member takes even when it has lost its coordinator, and answers itself in any case (facts 9). */
const EMERGENCY_CALLS = new Set([
  'session.slave_local_login_with_password',
  'session.local_logout',
  'host.is_in_emergency_mode',
  'host.emergency_ha_disable',
  'host.emergency_reset_server_certificate',
  'host.emergency_disable_tls_verification',
  'host.local_management_reconfigure',
  'host.shutdown_agent',
  'pool.emergency_transition_to_master',
  'pool.emergency_reset_master',
]);

export function isEmergencyCall(name: string): boolean {
  return EMERGENCY_CALLS.has(name);
}

/** What everything else meets at such a member, be it a login. Raised before the call is looked at. */
export class EmergencyMode extends SimulatedFailure {
  constructor() {
    super('HOST_STILL_BOOTING');
  }
}
