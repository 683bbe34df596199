import { expect } from 'chai';
import { FormatError } from '../../src/format/format-error.js';
import {
  archiveDisks,
  archiveInterfaces,
  archiveMachine,
  archiveMachines,
  archiveNetworks,
  parseOvaXml,
  serialiseOvaXml,
  textField,
  type XvaArchive,
} from '../../src/format/ova-xml.js';
import { captured } from '../support/captured.js';
import { array, builtDisk, buildOvaXml, object, struct, textStruct } from '../support/xva-builder.js';

/** The captured archives begin with ova.xml; its header gives the length in octal. */
function capturedOvaXml(name: string): Buffer {
  const xva = captured(name);
  return xva.subarray(512, 512 + parseInt(xva.toString('latin1', 124, 135), 8));
}

function built(objects: string, machineFields = ''): XvaArchive {
  return parseOvaXml(buildOvaXml({ disks: [builtDisk('Ref:7', 1024, { 0: 1024 })], objects, machineFields }));
}

describe('ova.xml', () => {
  describe('parseOvaXml', () => {
    for (const name of ['vm-without-block-data.xva', 'vm-metadata-with-snapshots.xva']) {
      it(`reads and writes what a real XAPI wrote, to the byte: ${name}`, () => {
        const bytes = capturedOvaXml(name);
        expect(serialiseOvaXml(parseOvaXml(bytes)).toString()).to.equal(bytes.toString());
      });
    }

    it('says who wrote it', () => {
      const { version } = parseOvaXml(capturedOvaXml('vm-without-block-data.xva'));
      expect(version).to.include({ product_brand: 'XCP-ng', product_version: '8.3.0', export_vsn: '2' });
    });

    const version = textStruct({ export_vsn: '2' });
    const one = object('VM', 'Ref:1', textStruct({ uuid: 'a' }));
    const refusals: readonly (readonly [string, string])[] = [
      ['a value that is no struct', '<value>a</value>'],
      ['no version', struct({ objects: array([]) })],
      ['no objects', struct({ version })],
      ['an object that is no struct', struct({ version, objects: array(['<value>a</value>']) })],
      ['an object without id', struct({ version, objects: array([object('VM', '', textStruct({}))]) })],
      ['an object without record', struct({ version, objects: array([textStruct({ class: 'VM', id: 'Ref:1' })]) })],
      ['two objects of one id', struct({ version, objects: array([one, one]) })],
    ];
    for (const [what, xml] of refusals) {
      it(`refuses ${what}`, () => {
        expect(() => parseOvaXml(Buffer.from(xml))).to.throw(FormatError);
      });
    }

    it('refuses bytes that are not UTF-8', () => {
      expect(() => parseOvaXml(Buffer.from([0x3c, 0xff]))).to.throw(FormatError, 'UTF-8');
    });

    it('writes back a changed field and nothing else', () => {
      const before = capturedOvaXml('vm-without-block-data.xva').toString();
      const archive = parseOvaXml(Buffer.from(before));
      archiveMachine(archive).snapshot.name_label = 'R&D "new"';
      expect(serialiseOvaXml(archive).toString()).to.equal(
        before.replace('<value>vmA</value>', '<value>R&amp;D &quot;new&quot;</value>'),
      );
    });
  });

  describe('archiveMachine', () => {
    it('is the machine, not its snapshot', () => {
      const archive = parseOvaXml(capturedOvaXml('vm-metadata-with-snapshots.xva'));
      expect(archive.objects.filter((entry) => entry.class === 'VM')).to.have.length(2);
      expect(archiveMachine(archive).snapshot.is_a_snapshot).to.equal(false);
    });

    it('refuses an archive of two machines, or of none', () => {
      const second = object('VM', 'Ref:50', textStruct({ uuid: 'b' }));
      expect(() => archiveMachine(built(second))).to.throw(FormatError, 'found 2');
      expect(archiveMachines(built(second))).to.have.length(2);
      expect(() => archiveMachine({ version: {}, objects: [] })).to.throw(FormatError, 'found 0');
    });
  });

  describe('archiveDisks', () => {
    it('lists the disk of the captured machine', () => {
      const [disk, ...others] = archiveDisks(parseOvaXml(capturedOvaXml('vm-without-block-data.xva')));
      expect(others).to.deep.equal([]);
      expect(disk).to.deep.include({
        id: 'Ref:18',
        name: 'd0',
        sizeBytes: 8388608,
        userdevice: '0',
        storageName: 'files',
      });
    });

    it('sorts by id as text, which is the order of the archive', () => {
      const disks = ['Ref:9', 'Ref:10', 'Ref:100'].map((id) => builtDisk(id, 1024, { 0: 1024 }));
      expect(archiveDisks(parseOvaXml(buildOvaXml({ disks }))).map((disk) => disk.id)).to.deep.equal([
        'Ref:10',
        'Ref:100',
        'Ref:9',
      ]);
    });

    const image = (fields: Readonly<Record<string, string>>): string =>
      object('VDI', 'Ref:60', textStruct({ virtual_size: '2048', SR: 'Ref:6', ...fields }));
    const drive = (fields: Readonly<Record<string, string>>): string =>
      object('VBD', 'Ref:61', textStruct({ VM: 'Ref:1', VDI: 'Ref:60', type: 'Disk', mode: 'RO', ...fields }));
    const idsOf = (archive: XvaArchive): string[] => archiveDisks(archive).map((disk) => disk.id);

    it('takes a second disk, once, however often it is attached', () => {
      const again = object('VBD', 'Ref:62', textStruct({ VM: 'Ref:1', VDI: 'Ref:60', type: 'Disk' }));
      const archive = built(image({}) + drive({}) + again);
      expect(idsOf(archive)).to.deep.equal(['Ref:60', 'Ref:7']);
      expect(archiveDisks(archive)[0]).to.include({ isReadOnly: true, isMemoryImage: false, isBootable: false });
    });

    it('leaves out CDs, disks on ISO libraries, disks of snapshots, and what is no disk', () => {
      const library = object('SR', 'Ref:63', textStruct({ content_type: 'iso' }));
      const snapshot = object('VM', 'Ref:64', struct({ is_a_snapshot: '<value><boolean>1</boolean></value>' }));
      expect(idsOf(built(image({}) + drive({ type: 'CD' })))).to.deep.equal(['Ref:7']);
      expect(idsOf(built(library + image({ SR: 'Ref:63' }) + drive({})))).to.deep.equal(['Ref:7']);
      expect(idsOf(built(snapshot + image({}) + drive({ VM: 'Ref:64' })))).to.deep.equal(['Ref:7']);
      expect(idsOf(built(image({}) + drive({ VDI: 'Ref:5' })))).to.deep.equal(['Ref:7']);
    });

    it('takes the memory image of a suspended machine, and of no other', () => {
      const fields = (state: string): string =>
        `<member><name>suspend_VDI</name><value>Ref:60</value></member><member><name>state</name><value>${state}</value></member>`;
      const archive = built(image({ SR: 'Ref:none' }), fields('Suspended'));
      expect(idsOf(archive)).to.deep.equal(['Ref:7']);
      archiveMachine(archive).snapshot.power_state = 'Suspended';
      expect(archiveDisks(archive)[0]).to.include({
        id: 'Ref:60',
        isMemoryImage: true,
        userdevice: '',
        storageName: '',
      });
    });

    for (const size of ['', '-1', '1e3', '99999999999999999999']) {
      it(`refuses a disk of ${JSON.stringify(size)} bytes`, () => {
        expect(() => archiveDisks(built(image({ virtual_size: size }) + drive({})))).to.throw(
          FormatError,
          'usable size',
        );
      });
    }
  });

  describe('archiveInterfaces', () => {
    it('lists them by device, with the name of their network', () => {
      const other = object('VIF', 'Ref:70', textStruct({ VM: 'Ref:1', network: 'Ref:99', device: '10', MAC: 'm' }));
      const ofAnother = object('VIF', 'Ref:71', textStruct({ VM: 'Ref:98', device: '1' }));
      const second = object('VIF', 'Ref:72', textStruct({ VM: 'Ref:1', network: 'Ref:5', device: '2' }));
      const interfaces = archiveInterfaces(built(other + ofAnother + second));
      expect(interfaces.map(({ device, networkId, networkName }) => [device, networkId, networkName])).to.deep.equal([
        ['0', 'Ref:5', 'LAN'],
        ['2', 'Ref:5', 'LAN'],
        ['10', undefined, ''],
      ]);
    });
  });

  describe('archiveNetworks', () => {
    it('lists them', () => {
      expect(archiveNetworks(built(''))).to.deep.equal([{ id: 'Ref:5', uuid: 'net', name: 'LAN', bridge: 'xenbr0' }]);
    });
  });

  describe('textField', () => {
    it('is empty for what is absent or no text', () => {
      expect(textField({ a: 'b', c: true }, 'a')).to.equal('b');
      expect(textField({ a: 'b', c: true }, 'c')).to.equal('');
      expect(textField({}, 'd')).to.equal('');
    });
  });
});
