import { expect } from 'chai';
import { BACKUP_ERROR_CODES, BackupError } from '../../src/contract/backup-error.js';
import { FormatError } from '../../src/format/format-error.js';
import { XAPI_ERRORS } from '../../src/provider/error-table.js';
import { toBackupError } from '../../src/provider/to-backup-error.js';
import { TransportError } from '../../src/xapi/transport-error.js';
import { XapiError } from '../../src/xapi/xapi-error.js';

const systemError = (code: string): Error => Object.assign(new Error(code), { code });

describe('toBackupError', () => {
  describe("XAPI's errors", () => {
    for (const [code, meaning] of Object.entries(XAPI_ERRORS)) {
      it(`${code} becomes ${meaning.code}`, () => {
        const cause = new XapiError(code, ['p'], { call: 'VM.x', taskUuid: 't' });
        const error = toBackupError(cause);
        expect(error).to.include({ code: meaning.code, isRetriable: meaning.isRetriable ?? false, cause });
        expect(error.message).to.match(/^[A-Z].*\.$/);
        expect(error.context).to.include({ xapiCode: code, xapiCall: 'VM.x', taskUuid: 't' });
        expect(BACKUP_ERROR_CODES).to.include(error.code);
      });
    }

    it('every row has a cause and a remedy (S51)', () => {
      for (const [code, { message, hint }] of Object.entries(XAPI_ERRORS)) {
        expect(message, code).to.match(/^[A-Z].+\.$/);
        expect(hint, code).to.match(/^[A-Z].+\.$/s);
      }
    });

    it('says which log of which host to read, for which task, and from when to when (S51)', () => {
      const window = { fromMs: Date.parse('2026-11-22T10:00:00Z'), toMs: Date.parse('2026-11-22T10:02:03Z') };
      const cause = new XapiError('SR_BACKEND_FAILURE_46', ['', 'x'], { taskUuid: 'task-1', window });
      const { hint, context } = toBackupError(cause);
      expect(hint).to.match(/^Check that it is plugged on its hosts\. Details: \/var\/log\/SMlog on the host /);
      expect(hint).to.match(/, task task-1, from 2026-11-22T10:00:00\.000Z to 2026-11-22T10:02:03\.000Z\.$/);
      expect(context).to.include({
        taskUuid: 'task-1',
        from: '2026-11-22T10:00:00.000Z',
        to: '2026-11-22T10:02:03.000Z',
      });
    });

    it('says what the account may not do, and which coordinator does not answer', () => {
      const refused = toBackupError(new XapiError('RBAC_PERMISSION_DENIED', ['pool.sync_database', 'no']));
      expect(refused.message).to.equal("The account's role does not allow this: pool.sync_database.");
      expect(refused.hint).to.contain('xen-backup check');
      const slave = toBackupError(new XapiError('HOST_IS_SLAVE', ['192.0.2.7']));
      expect(slave.message).to.equal('The pool has no coordinator that answers: 192.0.2.7.');
      expect(toBackupError(new XapiError('HOST_IS_SLAVE')).message).to.match(/answers\.$/);
    });

    it('sends nobody to a log who needs none', () => {
      const { hint, context } = toBackupError(new XapiError('SESSION_AUTHENTICATION_FAILED', ['u', 'm']));
      expect(hint).to.not.contain('/var/log');
      expect(context).to.not.have.property('log');
    });

    it('a code without a row becomes what the caller names for its step', () => {
      expect(toBackupError(new XapiError('SR_BACKEND_FAILURE_999', ['', 'why']))).to.deep.include({
        code: 'SOURCE_FAILED',
        context: {
          xapiCode: 'SR_BACKEND_FAILURE_999',
          xapiParams: ['', 'why'],
          log: '/var/log/xensource.log on the coordinator',
        },
      });
      const error = toBackupError(new XapiError('X'), {
        fallback: 'SNAPSHOT_FAILED',
        doing: 'Taking the snapshot failed',
        context: { phase: 'snapshot' },
      });
      expect(error.code).to.equal('SNAPSHOT_FAILED');
      expect(error.message).to.equal('Taking the snapshot failed: the pool answered X.');
      expect(error.context).to.include({ phase: 'snapshot', xapiCode: 'X' });
    });

    it('names such as XAPI keep their capitals within a sentence', () => {
      expect(toBackupError(new XapiError('INTERNAL_ERROR'), { doing: 'It failed' }).message).to.equal(
        'It failed: XAPI met an error of its own.',
      );
    });

    it('a parameter may be a whole log: it is cut', () => {
      const error = toBackupError(new XapiError('BACKUP_SCRIPT_FAILED', ['x'.repeat(10_000)]));
      expect((error.context.xapiParams as readonly string[])[0]).to.have.lengthOf(512);
    });

    it('never show a session', () => {
      const error = toBackupError(new XapiError('SESSION_INVALID', ['OpaqueRef:secret']));
      expect(JSON.stringify(error)).not.to.contain('secret');
    });
  });

  describe('other errors', () => {
    const transport: readonly (readonly [kind: TransportError['kind'], code: string])[] = [
      ['unreachable', 'SOURCE_UNREACHABLE'],
      ['untrusted', 'SOURCE_UNTRUSTED'],
      ['interrupted', 'TRANSFER_INTERRUPTED'],
      ['timeout', 'TRANSFER_STALLED'],
      ['http-status', 'SOURCE_FAILED'],
      ['protocol', 'SOURCE_FAILED'],
    ];
    for (const [kind, code] of transport) {
      it(`a transport error of kind ${kind} becomes ${code}`, () => {
        const error = toBackupError(new TransportError(kind, 'It failed.', { address: 'h:1', httpStatus: 500 }));
        expect(error).to.deep.include({ code, message: 'It failed.', context: { address: 'h:1', httpStatus: 500 } });
        expect(error.hint).to.be.a('string');
      });
    }

    it('a call without an answer means that the pool is not reachable, not that a transfer stalled', () => {
      for (const kind of ['timeout', 'interrupted'] as const) {
        const error = toBackupError(new TransportError(kind, 'It failed.', { call: 'VM.get_all' }));
        expect(error).to.include({ code: 'SOURCE_UNREACHABLE', isRetriable: true });
        expect(error.context).to.include({ xapiCall: 'VM.get_all' });
      }
    });

    it('an untrusted certificate comes with its fingerprint', () => {
      expect(toBackupError(new TransportError('untrusted', 'no', { fingerprint: 'AB:CD' })).context).to.include({
        fingerprint: 'AB:CD',
      });
    });

    it('a refused session is a matter of permission', () => {
      for (const httpStatus of [401, 403]) {
        expect(toBackupError(new TransportError('http-status', 'no', { httpStatus })).code).to.equal(
          'SOURCE_PERMISSION_DENIED',
        );
      }
    });

    it('damage is damage, and an error text in the data is what it says', () => {
      expect(
        toBackupError(new FormatError('bad header', { offsetBytes: 512, expected: 'a', found: 'b' })),
      ).to.deep.include({
        code: 'DATA_DAMAGED',
        context: { offsetBytes: 512, expected: 'a', found: 'b' },
      });
      const said = new FormatError('error text', { xapiError: { code: 'SR_FULL', params: ['1', '2'] } });
      expect(toBackupError(said)).to.include({ code: 'STORAGE_FULL' });
    });

    const system: readonly (readonly [error: unknown, code: string])[] = [
      [systemError('ENOSPC'), 'MEDIUM_FULL'],
      [systemError('EDQUOT'), 'MEDIUM_FULL'],
      [systemError('EACCES'), 'MEDIUM_FAILED'],
      [systemError('ECONNREFUSED'), 'SOURCE_UNREACHABLE'],
      [systemError('UND_ERR_BODY_TIMEOUT'), 'TRANSFER_STALLED'],
      [systemError('ERR_STREAM_PREMATURE_CLOSE'), 'INTERNAL'],
      [new DOMException('stop', 'AbortError'), 'CANCELLED'],
      [systemError('ABORT_ERR'), 'CANCELLED'],
      [new TypeError('x is not a function'), 'INTERNAL'],
      ['text', 'INTERNAL'],
      [undefined, 'INTERNAL'],
    ];
    for (const [error, code] of system) {
      it(`${String(error)} becomes ${code}`, () => {
        expect(toBackupError(error)).to.include({ code });
      });
    }

    it('a BackupError passes as it is', () => {
      const error = new BackupError('TARGET_EXISTS', 'x');
      expect(toBackupError(error, { fallback: 'INTERNAL' })).to.equal(error);
    });
  });
});
