import { expect } from 'chai';
import { bondFindings, type InterfaceFacts, nbdFinding, subnetFindings } from '../../src/provider/network-findings.js';

const nic = (fields: Partial<InterfaceFacts> = {}): InterfaceFacts => ({
  host: 'host-a',
  device: 'eth0',
  uuid: 'u0',
  isManagement: true,
  isAttached: true,
  address: '192.0.2.10',
  netmask: '255.255.255.0',
  ...fields,
});

describe('findings about networks', () => {
  describe('subnetFindings (S54)', () => {
    const cases: readonly (readonly [name: string, second: Partial<InterfaceFacts>, count: number])[] = [
      ['the same subnet', { address: '192.0.2.200' }, 1],
      ['another subnet', { address: '192.0.3.10' }, 0],
      ['a wider mask that holds the first', { address: '192.0.3.10', netmask: '255.255.0.0' }, 1],
      ['the same subnet on another host', { address: '192.0.2.200', host: 'host-b' }, 0],
      ['an interface without an address', { address: '', netmask: '' }, 0],
      ['an interface that is unplugged', { address: '192.0.2.200', isAttached: false }, 0],
    ];
    for (const [name, second, count] of cases) {
      it(`finds ${count} in ${name}`, () => {
        const lines = subnetFindings([nic(), nic({ device: 'eth1', isManagement: false, ...second })]);
        expect(lines).to.have.length(count);
        for (const { status, message, hint } of lines) {
          expect(status).to.equal('warning');
          expect(message).to.contain('eth0 (192.0.2.10)').and.contain('eth1');
          expect(hint).to.contain('CTX123158');
        }
      });
    }
  });

  describe('bondFindings (S55-S59)', () => {
    const bond = { host: 'host-a', device: 'bond0', interfaceUuid: 'pif-1', mode: 'lacp', cardCount: 2, linksUp: 2 };

    it('says what to compare with the switch, and marks the cure of users as unsupported', () => {
      const [line, ...rest] = bondFindings([bond]);
      expect(rest).to.deep.equal([]);
      expect(line?.status).to.equal('ok');
      expect(line?.hint).to.contain('/proc/net/bonding/bond0').and.contain('Transmit Hash Policy');
      expect(line?.hint).to.contain('layer2').and.contain('layer3+4');
      expect(line?.hint).to.match(
        /untested, not supported by anybody, and never done by this software: xe pif-param-set uuid=pif-1 other-config:bond-xmit_hash_policy=1/,
      );
      expect(line?.hint).to.contain('CTX123158');
    });

    it('is silent about other modes', () => {
      expect(bondFindings([{ ...bond, mode: 'balance-slb' }])).to.deep.equal([]);
    });

    it('warns of a link that is down in any mode', () => {
      const [line] = bondFindings([{ ...bond, mode: 'active-backup', linksUp: 1 }]);
      expect(line).to.include({ status: 'warning', check: 'bond' });
    });
  });

  it('says what increments cost without NBD, and how to have it', () => {
    expect(nbdFinding(true)).to.include({ status: 'ok', check: 'nbd' }).and.not.have.property('hint');
    const without = nbdFinding(false);
    expect(without.message).to.contain('No network carries NBD').and.contain('whole snapshot');
    expect(without.hint).to.contain('xe network-param-add').and.contain('param-key=nbd');
  });
});
