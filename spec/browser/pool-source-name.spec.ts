import { expect } from 'chai';
import {
  hostPath,
  isPoolName,
  parseHostName,
  resolveClientHost,
  resolveHost,
} from '../../src/browser/pool-source-name.js';
import { isBackupError } from '../../src/contract/index.js';

const host = (digit: string, name: string) => ({
  uuid: `${digit.repeat(8)}-1111-4111-8111-111111111111`,
  name_label: name,
  address: `10.0.0.${digit}`,
  hostname: `xen${digit}.example`,
});
const hosts = [host('1', 'alpha'), host('2', 'beta'), host('3', 'beta')];

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return isBackupError(error) ? error.code : String(error);
  }
  return 'none';
}

describe('pool source names', () => {
  it('knows the pool by its path and by the old word, and nothing else of it', () => {
    expect(['pool/metadata', ' meta-data ', 'vm/meta-data', 'metadata'].map(isPoolName)).to.deep.equal([
      true,
      true,
      false,
      false,
    ]);
    expect(codeOf(() => isPoolName('pool/x'))).to.equal('OBJECT_NOT_FOUND');
  });

  it('reads the names of hosts', () => {
    expect(parseHostName('host-backup')).to.deep.equal({ way: 'client' });
    expect(parseHostName('host/*')).to.deep.equal({ way: 'all' });
    expect(parseHostName('host/a/b')).to.deep.equal({ way: 'named', text: 'a/b' });
    expect(parseHostName('alpha')).to.equal(undefined);
    expect(codeOf(() => parseHostName('host/'))).to.equal('REQUEST_INVALID');
  });

  it('resolves a host by UUID in any case and by its name, and refuses what fits none or several', () => {
    expect(resolveHost(hosts[0]!.uuid.toUpperCase(), hosts)).to.equal(hosts[0]);
    expect(resolveHost('alpha', hosts)).to.equal(hosts[0]);
    expect(codeOf(() => resolveHost('beta', hosts))).to.equal('OBJECT_AMBIGUOUS');
    expect(codeOf(() => resolveHost('gamma', hosts))).to.equal('OBJECT_NOT_FOUND');
    expect(hostPath(hosts[0]!)).to.equal(`host/${hosts[0]!.uuid}`);
  });

  it('knows the host that an address, a name or what it resolves to means', () => {
    expect(resolveClientHost('10.0.0.2', [], hosts)).to.equal(hosts[1]);
    expect(resolveClientHost('XEN3.example', [], hosts)).to.equal(hosts[2]);
    expect(resolveClientHost('pool.example', ['10.0.0.1'], hosts)).to.equal(hosts[0]);
    expect(resolveClientHost('elsewhere', [], hosts.slice(0, 1))).to.equal(hosts[0]);
    expect(codeOf(() => resolveClientHost('elsewhere', ['10.9.9.9'], hosts))).to.equal('OBJECT_NOT_FOUND');
  });
});
