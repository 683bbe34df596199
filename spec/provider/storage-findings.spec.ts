import { expect } from 'chai';
import { GIB } from '../../src/common/byte-size.js';
import { type StorageFacts, storageFindings } from '../../src/provider/storage-findings.js';

const storage = (name: string, fields: Partial<StorageFacts['record']> = {}, isDefault = false): StorageFacts => ({
  record: {
    name_label: name,
    type: 'nfs',
    content_type: 'user',
    is_tools_sr: false,
    physical_size: 100 * GIB,
    physical_utilisation: 20 * GIB,
    ...fields,
  },
  isDefault,
  detachedFrom: [],
});

const brief = (facts: readonly StorageFacts[]): string[] =>
  storageFindings(facts).map(({ status, check }) => `${status} ${check}`);

describe('storageFindings', () => {
  it('says how much room there is, in the default storage first', () => {
    const lines = storageFindings([storage('Second'), storage('Main', {}, true)]);
    expect(lines.map(({ message }) => message)).to.deep.equal([
      'The default storage "Main" has 80.0 GiB of 100.0 GiB left.',
      'The storage "Second" has 80.0 GiB of 100.0 GiB left.',
    ]);
  });

  it('warns of storage that is nearly full', () => {
    expect(brief([storage('Main', { physical_utilisation: 95 * GIB }, true)])).to.deep.equal([
      'warning default-storage',
    ]);
  });

  it('leaves out what takes no disks, even as the default', () => {
    expect(brief([storage('ISO', { content_type: 'iso', type: 'iso' }, true)])).to.deep.equal([
      'warning default-storage',
    ]);
    expect(
      brief([storage('Main', {}, true), storage('Removable', { type: 'udev', content_type: 'disk' })]),
    ).to.deep.equal(['ok default-storage']);
  });

  it('names the hosts that do not see a storage', () => {
    const [, line] = storageFindings([{ ...storage('Main', {}, true), detachedFrom: ['host-b'] }]);
    expect(line).to.include({ status: 'warning', check: 'storage' });
    expect(line?.message).to.equal('The storage "Main" is not attached to host-b.');
  });
});
