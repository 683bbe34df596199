import { expect } from 'chai';
import {
  clockFindings,
  expiryFindings,
  memberFinding,
  type MemberFacts,
  reachFindings,
} from '../../src/provider/member-findings.js';
import { type EndpointSighting } from '../../src/xapi/endpoint-probe.js';
import { TransportError } from '../../src/xapi/transport-error.js';

const DAY_MS = 86_400_000;
const NOW_MS = Date.parse('2026-11-22T12:00:00Z');

const member = (fields: Partial<MemberFacts> = {}): MemberFacts => ({
  name: 'host-a',
  address: '192.0.2.1',
  isLive: true,
  isEnabled: true,
  isHttpsOnly: false,
  certificate: { fingerprint: 'AA', endMs: NOW_MS + 365 * DAY_MS },
  ...fields,
});

const sighting = (fields: Partial<EndpointSighting> = {}): EndpointSighting => ({
  endpoint: { protocol: 'https:', host: '192.0.2.1', port: 443 },
  addresses: ['192.0.2.1'],
  lookupMs: 1,
  connectMs: 3,
  fingerprint: 'AA',
  validToMs: NOW_MS + 365 * DAY_MS,
  failure: undefined,
  ...fields,
});

const brief = (lines: readonly { status: string; check: string }[]): string[] =>
  lines.map(({ status, check }) => `${status} ${check}`);

describe('findings about members', () => {
  describe('memberFinding', () => {
    it('tells one that is gone from one in maintenance', () => {
      expect(memberFinding(member()).status).to.equal('ok');
      expect(memberFinding(member({ isEnabled: false })).status).to.equal('warning');
      expect(memberFinding(member({ isLive: false, isEnabled: false })).status).to.equal('error');
    });
  });

  describe('reachFindings', () => {
    it('is content with a quick connection and the certificate that the pool knows', () => {
      expect(brief(reachFindings(member(), sighting()))).to.deep.equal(['ok connection']);
      expect(brief(reachFindings(member({ certificate: undefined }), sighting()))).to.deep.equal(['ok connection']);
    });

    it('says which name does not resolve (S52)', () => {
      const failure = new TransportError('unreachable', 'No connection to xen1: ENOTFOUND.', {});
      const seen = sighting({ addresses: [], connectMs: undefined, failure });
      const [line, ...rest] = reachFindings(member(), seen);
      expect(line).to.include({ status: 'error', check: 'name' });
      expect(line?.message).to.contain('192.0.2.1');
      expect(line?.hint).to.contain('DNS');
      expect(rest).to.deep.equal([]);
    });

    it('warns of sockets that open after seconds, with what it usually is (S53)', () => {
      const [line] = reachFindings(member(), sighting({ connectMs: 3001 }));
      expect(line).to.include({ status: 'warning', check: 'connection' });
      expect(line?.message).to.contain('3.0 s');
      expect(line?.hint).to.match(/asymmetric routing.*3 s.*80 s/s);
      expect(brief(reachFindings(member(), sighting({ lookupMs: 5001 })))).to.deep.equal([
        'warning name',
        'ok connection',
      ]);
    });

    it('tells no connection from a certificate that is refused', () => {
      const unreachable = new TransportError('unreachable', 'No connection.', {});
      const closed = reachFindings(member(), sighting({ connectMs: undefined, failure: unreachable }));
      expect(brief(closed)).to.deep.equal(['error connection']);
      const untrusted = new TransportError('untrusted', 'Not pinned.', { fingerprint: 'BB' });
      const refused = reachFindings(member(), sighting({ fingerprint: 'BB', failure: untrusted }));
      expect(brief(refused)).to.deep.equal(['ok connection', 'error certificate']);
      expect(refused[1]?.hint).to.contain('xen-backup trust https://192.0.2.1:443');
    });

    it('notices that something else answers at the address of the host', () => {
      expect(brief(reachFindings(member(), sighting({ fingerprint: 'CC' })))).to.deep.equal([
        'ok connection',
        'warning certificate',
      ]);
    });
  });

  describe('expiryFindings', () => {
    const endingIn = (days: number): MemberFacts =>
      member({ certificate: { fingerprint: 'AA', endMs: NOW_MS + days * DAY_MS } });

    it('warns a month ahead', () => {
      const statuses = [31, 29, -1].map((days) => expiryFindings(endingIn(days), undefined, NOW_MS)[0]?.status);
      expect(statuses).to.deep.equal(['ok', 'warning', 'error']);
    });

    it('takes the date from the certificate itself where the pool says none', () => {
      const old = member({ certificate: undefined });
      const seen = sighting({ validToMs: NOW_MS + 3.5 * DAY_MS });
      expect(expiryFindings(old, seen, NOW_MS)[0]?.message).to.equal('The certificate of host-a is good for 3 days.');
      expect(expiryFindings(old, undefined, NOW_MS)).to.deep.equal([]);
    });
  });

  describe('clockFindings', () => {
    it('lets a second pass, which is as exact as the pool tells', () => {
      expect(brief(clockFindings([{ name: 'a', offsetMs: -900 }]))).to.deep.equal(['ok clock']);
      expect(clockFindings([])).to.deep.equal([]);
    });

    it('warns of a host that is off, and of hosts that disagree', () => {
      const behind = clockFindings([{ name: 'a', offsetMs: -120_000 }]);
      expect(behind[0]?.message).to.equal("The clock of a is 120.0 s behind this machine's.");
      const apart = clockFindings([
        { name: 'a', offsetMs: -8_000 },
        { name: 'b', offsetMs: 8_000 },
      ]);
      expect(apart.map(({ message }) => message)).to.deep.equal([
        "The clocks of the pool's hosts are up to 16.0 s apart.",
      ]);
    });
  });
});
