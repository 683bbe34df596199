import { expect } from 'chai';
import { EMERGENCY_CODES, isReadOnlyMethod, NO_RECOVERY_YET, recoveryFor } from '../../src/session/call-recovery.js';
import { TransportError, type TransportErrorKind } from '../../src/xapi/transport-error.js';
import { XapiError } from '../../src/xapi/xapi-error.js';

describe('call-recovery', () => {
  describe('recoveryFor', () => {
    const action = (error: unknown, isIdempotent = false, done = NO_RECOVERY_YET): string =>
      recoveryFor(error, isIdempotent, done).action;
    const transport = (kind: TransportErrorKind): TransportError => new TransportError(kind, kind);

    it('logs in again once when the session is gone', () => {
      expect(action(new XapiError('SESSION_INVALID'))).to.equal('log-in-again');
      expect(action(new XapiError('SESSION_INVALID'), true, { ...NO_RECOVERY_YET, logins: 1 })).to.equal('give-up');
    });

    it('follows the coordinator, but not for ever and not to nowhere', () => {
      expect(recoveryFor(new XapiError('HOST_IS_SLAVE', ['10.0.0.2']), false, NO_RECOVERY_YET)).to.deep.equal({
        action: 'move',
        host: '10.0.0.2',
      });
      expect(action(new XapiError('HOST_IS_SLAVE', ['10.0.0.2']), false, { ...NO_RECOVERY_YET, moves: 3 })).to.equal(
        'give-up',
      );
      expect(action(new XapiError('HOST_IS_SLAVE'))).to.equal('give-up');
      expect(action(new XapiError('HOST_IS_SLAVE', ['']))).to.equal('give-up');
    });

    it('looks for a coordinator when nothing was executed, whatever the call', () => {
      for (const error of [transport('unreachable'), ...EMERGENCY_CODES.map((code) => new XapiError(code))]) {
        expect(action(error), error.message).to.equal('find-coordinator');
      }
      expect(action(transport('unreachable'), true, { ...NO_RECOVERY_YET, searches: 2 })).to.equal('give-up');
    });

    it('repeats what may have been executed only when that does no harm', () => {
      for (const kind of ['interrupted', 'timeout'] as const) {
        expect(action(transport(kind), true), kind).to.equal('find-coordinator');
        expect(action(transport(kind), false), kind).to.equal('give-up');
      }
    });

    it('gives up on everything else', () => {
      for (const error of [
        transport('untrusted'),
        transport('http-status'),
        transport('protocol'),
        new XapiError('TOO_BUSY'),
        new Error('x'),
      ]) {
        expect(action(error, true), error.message).to.equal('give-up');
      }
    });
  });

  describe('isReadOnlyMethod', () => {
    it('knows methods that only read', () => {
      for (const method of ['VM.get_record', 'VM_guest_metrics.get_all_records', 'event.from', 'system.listMethods']) {
        expect(isReadOnlyMethod(method), method).to.equal(true);
      }
      for (const method of ['VM.snapshot', 'Async.VM.get_cooperative', 'task.create', 'event.inject', 'VM.set_get_x']) {
        expect(isReadOnlyMethod(method), method).to.equal(false);
      }
    });
  });
});
