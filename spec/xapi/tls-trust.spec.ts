import { expect } from 'chai';
import { type Socket } from 'node:net';
import { endpointAddress, openSocket, type TlsTrust, trustedConnector, urlHost } from '../../src/xapi/tls-trust.js';
import { TransportError } from '../../src/xapi/transport-error.js';
import { failureOf } from '../support/failure-of.js';
import { type RawServer, startRawServer } from '../support/raw-server.js';
import { type TestCertificate, testCertificate } from '../support/test-certificate.js';

const OTHER_PIN = Array(32).fill('00').join(':');

describe('tls-trust', () => {
  let certificate: TestCertificate;
  let elsewhere: TestCertificate;
  let server: RawServer;
  const opened: Socket[] = [];

  before(async () => {
    [certificate, elsewhere] = await Promise.all([testCertificate(), testCertificate(['127.0.0.9'])]);
  });
  beforeEach(async () => {
    server = await startRawServer(() => undefined, certificate);
  });
  afterEach(async () => {
    for (const socket of opened.splice(0)) socket.destroy();
    await server.close();
  });

  const open = async (trust: TlsTrust, port = server.port, signal?: AbortSignal): Promise<Socket> => {
    const socket = await openSocket(
      trustedConnector(trust, 2000),
      { protocol: 'https:', host: '127.0.0.1', port },
      signal,
    );
    opened.push(socket);
    return socket;
  };

  describe('trustedConnector', () => {
    it('accepts a pinned certificate, whatever its issuer', async () => {
      const socket = await open({ mode: 'pinned', fingerprints: [OTHER_PIN, certificate.fingerprint] });
      expect(socket.writable).to.equal(true);
    });

    it('accepts the pinned certificate again on a second connection', async () => {
      const trust: TlsTrust = { mode: 'pinned', fingerprints: [certificate.fingerprint] };
      const connect = trustedConnector(trust, 2000);
      for (let time = 0; time < 2; time += 1) {
        opened.push(await openSocket(connect, { protocol: 'https:', host: '127.0.0.1', port: server.port }, undefined));
      }
      expect(opened.map((socket) => socket.writable)).to.deep.equal([true, true]);
    });

    it('refuses another certificate before a byte is sent, and says which it saw', async () => {
      const error = await failureOf(open({ mode: 'pinned', fingerprints: [OTHER_PIN] }));
      expect(error)
        .to.be.instanceOf(TransportError)
        .and.to.include({ kind: 'untrusted', fingerprint: certificate.fingerprint });
      await server.whenGone();
      expect(server.received.join('')).to.equal('');
    });

    it('accepts what the CA file vouches for', async () => {
      expect((await open({ mode: 'ca', pem: certificate.cert })).writable).to.equal(true);
    });

    it('refuses what another CA vouches for, and a certificate for another address', async () => {
      const foreign = await failureOf(open({ mode: 'ca', pem: elsewhere.cert }));
      expect(foreign).to.include({ kind: 'untrusted', systemCode: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
      const other = await startRawServer(() => undefined, elsewhere);
      try {
        const named = await failureOf(open({ mode: 'ca', pem: elsewhere.cert }, other.port));
        expect(named).to.include({ kind: 'untrusted', systemCode: 'ERR_TLS_CERT_ALTNAME_INVALID' });
        await other.whenGone();
        expect(other.received.join('')).to.equal('');
      } finally {
        await other.close();
      }
    });

    it('refuses a self-signed certificate when only the system vouches', async () => {
      const error = await failureOf(open({ mode: 'system' }));
      expect(error).to.include({ kind: 'untrusted', fingerprint: certificate.fingerprint });
    });

    it('refuses TLS below 1.2', async () => {
      const old = await startRawServer(() => undefined, {
        ...certificate,
        minVersion: 'TLSv1',
        maxVersion: 'TLSv1.1',
        ciphers: 'DEFAULT@SECLEVEL=0',
      });
      try {
        const error = await failureOf(open({ mode: 'pinned', fingerprints: [certificate.fingerprint] }, old.port));
        expect(error).to.include({ kind: 'unreachable' });
      } finally {
        await old.close();
      }
    });

    it('calls a server without TLS, and one that hangs up in the handshake, unreachable', async () => {
      const plain = await startRawServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
      const rude = await startRawServer((socket) => socket.destroy());
      try {
        for (const { port } of [plain, rude]) {
          expect(await failureOf(open({ mode: 'system' }, port))).to.include({ kind: 'unreachable' });
        }
      } finally {
        await Promise.all([plain.close(), rude.close()]);
      }
    });

    it('gives up on a server that never finishes the handshake', async () => {
      const silent = await startRawServer(() => undefined);
      try {
        const connect = trustedConnector({ mode: 'system' }, 300);
        const error = await failureOf(
          openSocket(connect, { protocol: 'https:', host: '127.0.0.1', port: silent.port }, undefined),
        );
        expect(error).to.include({ kind: 'unreachable', systemCode: 'UND_ERR_CONNECT_TIMEOUT' });
      } finally {
        await silent.close();
      }
    });
  });

  describe('openSocket', () => {
    it('opens plain connections for http', async () => {
      const plain = await startRawServer(() => undefined);
      try {
        const connect = trustedConnector({ mode: 'system' }, 2000);
        opened.push(await openSocket(connect, { protocol: 'http:', host: '127.0.0.1', port: plain.port }, undefined));
        expect(opened[0]!.writable).to.equal(true);
      } finally {
        await plain.close();
      }
    });

    it('rejects with the reason of the signal, before and while it connects', async () => {
      const reason = new Error('enough');
      expect(await failureOf(open({ mode: 'system' }, server.port, AbortSignal.abort(reason)))).to.equal(reason);
      const controller = new AbortController();
      const opening = failureOf(
        open({ mode: 'pinned', fingerprints: [certificate.fingerprint] }, server.port, controller.signal),
      );
      controller.abort(reason);
      expect(await opening).to.equal(reason);
    });
  });

  describe('addresses', () => {
    it('put brackets around IPv6 only', () => {
      expect([urlHost('::1'), urlHost('[::1]'), urlHost('host')]).to.deep.equal(['[::1]', '[::1]', 'host']);
      expect(endpointAddress({ protocol: 'https:', host: 'fe80::1', port: 443 })).to.equal('[fe80::1]:443');
    });
  });
});
