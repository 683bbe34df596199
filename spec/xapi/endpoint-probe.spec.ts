import { expect } from 'chai';
import { systemClock } from '../../src/common/clock.js';
import { type EndpointSighting, probeEndpoint } from '../../src/xapi/endpoint-probe.js';
import { type TlsTrust, trustedConnector } from '../../src/xapi/tls-trust.js';
import { failureOf } from '../support/failure-of.js';
import { type RawServer, startRawServer } from '../support/raw-server.js';
import { type TestCertificate, testCertificate } from '../support/test-certificate.js';

describe('probeEndpoint', () => {
  let certificate: TestCertificate;
  let server: RawServer;

  before(async () => {
    certificate = await testCertificate();
  });
  beforeEach(async () => {
    server = await startRawServer(() => undefined, certificate);
  });
  afterEach(() => server.close());

  const probe = (
    trust: TlsTrust,
    { host = '127.0.0.1', port = server.port, signal = new AbortController().signal, timeoutMs = 2000 } = {},
  ): Promise<EndpointSighting> =>
    probeEndpoint(
      { protocol: 'https:', host, port },
      { connector: trustedConnector(trust, 2000), clock: systemClock, timeoutMs, signal },
    );
  const pinned = (): TlsTrust => ({ mode: 'pinned', fingerprints: [certificate.fingerprint] });

  it('sees addresses, times and the certificate, and sends nothing', async () => {
    const seen = await probe(pinned());
    expect(seen).to.include({ fingerprint: certificate.fingerprint, failure: undefined });
    expect(seen.addresses).to.deep.equal(['127.0.0.1']);
    expect(seen.connectMs).to.be.within(0, 2000);
    expect(seen.validToMs).to.be.greaterThan(Date.now());
    await server.whenGone();
    expect(server.received.join('')).to.equal('');
  });

  it('looks names up', async () => {
    const { addresses, lookupMs } = await probe(pinned(), { host: 'localhost' });
    expect(addresses).to.include('127.0.0.1');
    expect(lookupMs).to.be.at.least(0);
  });

  it('shows a certificate that is refused, with the connection that worked', async () => {
    const seen = await probe({ mode: 'system' });
    expect(seen.connectMs).to.be.a('number');
    expect(seen.failure?.kind).to.equal('untrusted');
    expect(seen.fingerprint).to.equal(certificate.fingerprint);
  });

  it('sees that nobody listens', async () => {
    await server.close();
    const seen = await probe(pinned());
    expect(seen.connectMs).to.equal(undefined);
    expect(seen.failure).to.include({ kind: 'unreachable', systemCode: 'ECONNREFUSED' });
  });

  it('sees that a name stands for nothing', async () => {
    const seen = await probe(pinned(), { host: 'nobody.invalid' });
    expect(seen.addresses).to.deep.equal([]);
    expect(seen.failure?.kind).to.equal('unreachable');
  });

  it('gives up on a server that never finishes its handshake', async () => {
    const mute = await startRawServer(() => undefined);
    const seen = await probe(pinned(), { port: mute.port, timeoutMs: 150 });
    expect(seen.connectMs).to.be.a('number');
    expect(seen.failure?.kind).to.equal('unreachable');
    await mute.close();
  });

  it('ends with its signal', async () => {
    const reason = new Error('enough');
    expect(await failureOf(probe(pinned(), { signal: AbortSignal.abort(reason) }))).to.equal(reason);
    expect(await failureOf(probe(pinned(), { host: 'localhost', signal: AbortSignal.abort(reason) }))).to.equal(reason);
  });
});
