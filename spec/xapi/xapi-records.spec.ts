import { expect } from 'chai';
import { fieldsReader, NULL_REF, readRecord } from '../../src/xapi/xapi-records.js';

/** A VDI as a real XAPI 24.19.2 gave it, cut to fields of every kind, in both encodings. */
const JSON_RPC = {
  uuid: '0305a3c9-f441-4865-8724-78f0f9d537ce',
  name_label: 'd0',
  SR: 'OpaqueRef:e7db2765-b6f1-7d9f-78b7-329d62bd5a7e',
  VBDs: ['OpaqueRef:2a9bb5f1-7e35-62a3-016b-3403ef09bcda'],
  virtual_size: 8388608,
  physical_utilisation: 0,
  type: 'user',
  managed: true,
  sm_config: { 'image-format': 'vhd' },
  snapshot_of: 'OpaqueRef:NULL',
  snapshot_time: '19700101T00:00:00Z',
  cbt_enabled: false,
  unheard_of: 1,
};
const XML_RPC = {
  ...JSON_RPC,
  virtual_size: '8388608',
  physical_utilisation: '0',
  snapshot_time: new Date(0),
};

describe('xapi-records', () => {
  describe('readRecord', () => {
    it('gives the same record from JSON-RPC and from XML-RPC', () => {
      expect(readRecord('VDI', XML_RPC)).to.deep.equal(readRecord('VDI', JSON_RPC));
    });

    it('reads the fields we use and drops the others', () => {
      const vdi = readRecord('VDI', JSON_RPC);
      expect(vdi).to.include({ uuid: JSON_RPC.uuid, virtual_size: 8388608, managed: true, snapshot_of: NULL_REF });
      expect(vdi.sm_config).to.deep.equal({ 'image-format': 'vhd' });
      expect(vdi).not.to.have.property('unheard_of');
    });

    it('fills in neutral values for fields that an old release does not have', () => {
      const host = readRecord('host', { uuid: 'u' });
      expect(host).to.deep.include({ uuid: 'u', https_only: false, certificates: [], address: '', edition: '' });
      expect(readRecord('VM', undefined)).to.include({ power_state: 'Halted', domain_type: 'unspecified' });
    });
  });

  describe('fieldsReader', () => {
    it('reads the named fields as a whole record has them, and no others', () => {
      const { uuid, virtual_size, SR } = readRecord('VDI', JSON_RPC);
      const read = fieldsReader('VDI', ['uuid', 'virtual_size', 'SR']);
      expect(read(JSON_RPC)).to.deep.equal({ uuid, virtual_size, SR });
      expect(read(XML_RPC)).to.deep.equal({ uuid, virtual_size, SR });
      expect(read(undefined)).to.deep.equal({ uuid: '', virtual_size: 0, SR: NULL_REF });
    });
  });
});
