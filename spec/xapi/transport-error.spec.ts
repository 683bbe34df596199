import { expect } from 'chai';
import { isTransportError, toTransportError, TransportError } from '../../src/xapi/transport-error.js';

const systemError = (code: string, syscall?: string): Error => Object.assign(new Error(code), { code, syscall });

describe('toTransportError', () => {
  const rows: readonly (readonly [code: string, kind: string, syscall?: string])[] = [
    ['ECONNREFUSED', 'unreachable'],
    ['ENOTFOUND', 'unreachable'],
    ['UND_ERR_CONNECT_TIMEOUT', 'unreachable'],
    ['ETIMEDOUT', 'unreachable', 'connect'],
    ['ETIMEDOUT', 'timeout', 'read'],
    ['UND_ERR_HEADERS_TIMEOUT', 'timeout'],
    ['UND_ERR_BODY_TIMEOUT', 'timeout'],
    ['ECONNRESET', 'interrupted'],
    ['EPIPE', 'interrupted'],
    ['UND_ERR_SOCKET', 'interrupted'],
    ['EPROTO', 'unreachable'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'unreachable'],
    ['HPE_INVALID_CONSTANT', 'protocol'],
    ['UND_ERR_RES_EXCEEDED_MAX_SIZE', 'protocol'],
  ];
  for (const [code, kind, syscall] of rows) {
    it(`takes ${code}${syscall === undefined ? '' : ` of ${syscall}`} for ${kind}`, () => {
      const error = toTransportError(systemError(code, syscall), 'host:443');
      expect(error).to.include({ kind, systemCode: code, address: 'host:443' });
      expect((error as Error).message).to.contain('host:443');
    });
  }

  it('works without an address', () => {
    expect(toTransportError(systemError('EPIPE'))).to.include({ kind: 'interrupted', address: undefined });
  });

  it('looks into what wraps the error', () => {
    expect(toTransportError(new AggregateError([systemError('ECONNREFUSED')]))).to.include({ kind: 'unreachable' });
    expect(toTransportError(new TypeError('terminated', { cause: systemError('UND_ERR_SOCKET') }))).to.include({
      kind: 'interrupted',
    });
    const inner = new TransportError('untrusted', 'no');
    expect(toTransportError(new Error('outer', { cause: inner }))).to.equal(inner);
  });

  it('leaves alone what is something else', () => {
    for (const other of [
      new TypeError('x'),
      systemError('ENOSPC'),
      'text',
      undefined,
      new TransportError('timeout', 't'),
    ]) {
      expect(toTransportError(other)).to.equal(other);
    }
  });
});

describe('isTransportError', () => {
  it('asks for the class, and for one of the kinds when there are any', () => {
    const error = new TransportError('timeout', 't');
    expect([
      isTransportError(error),
      isTransportError(error, 'timeout'),
      isTransportError(error, 'protocol'),
    ]).to.deep.equal([true, true, false]);
  });
});
