import { expect } from 'chai';
import { licenceFinding, roleFinding, transportFindings } from '../../src/provider/account-findings.js';

describe('findings about the account and its pool', () => {
  describe('roleFinding', () => {
    const cases: readonly (readonly [roles: readonly string[], status: string, hint: RegExp | undefined])[] = [
      [[], 'warning', /vm-power-admin/],
      [['of-a-later-release'], 'warning', /vm-power-admin/],
      [['read-only'], 'error', /vm-power-admin/],
      [['vm-operator'], 'error', /vm-power-admin/],
      [['vm-admin'], 'error', /vm-power-admin/],
      [['vm-power-admin'], 'ok', /need the role pool-admin/],
      [['pool-operator'], 'ok', /need the role pool-admin/],
      [['pool-admin'], 'ok', undefined],
      [['read-only', 'pool-admin'], 'ok', undefined],
    ];
    for (const [roles, status, hint] of cases) {
      it(`${roles.join(' and ') || 'no role'} is ${status}`, () => {
        const line = roleFinding({ username: 'saver', isLocalSuperuser: false, roles });
        expect(line.status).to.equal(status);
        expect(line.message).to.contain('saver');
        if (hint === undefined) expect(line.hint).to.equal(undefined);
        else expect(line.hint).to.match(hint);
      });
    }

    it('the superuser has no role and every right', () => {
      expect(roleFinding({ username: 'root', isLocalSuperuser: true, roles: [] }).status).to.equal('ok');
    });
  });

  describe('licenceFinding', () => {
    it('says what a restriction costs', () => {
      const line = licenceFinding({ restrict_cbt: 'true', restrict_vss: 'false', restrict_wlb: 'true' });
      expect(line.status).to.equal('warning');
      expect(line.message).to.contain('increments keep a whole snapshot').and.not.contain('quiesced');
      expect(line.hint).to.contain('restrict_cbt').and.not.contain('restrict_wlb');
    });

    it('takes what an old pool does not name as allowed', () => {
      expect(licenceFinding({}).status).to.equal('ok');
    });
  });

  describe('transportFindings', () => {
    const statuses = (transport: 'https' | 'http', hosts: readonly string[]): string[] =>
      transportFindings(transport, hosts).map(({ status }) => status);

    it('warns of plain http, and refuses it where a host does', () => {
      expect(statuses('https', ['host-a'])).to.deep.equal(['ok']);
      expect(statuses('http', [])).to.deep.equal(['warning']);
      expect(statuses('http', ['host-a'])).to.deep.equal(['warning', 'error']);
    });
  });
});
