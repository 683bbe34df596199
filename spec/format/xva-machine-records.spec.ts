import { expect } from 'chai';
import { FormatError } from '../../src/format/format-error.js';
import {
  archiveDisks,
  archiveInterfaces,
  archiveMachine,
  parseOvaXml,
  type XvaArchive,
} from '../../src/format/ova-xml.js';
import { keepOneMachine } from '../../src/format/xva-machine-records.js';
import { XvaReader } from '../../src/format/xva-reader.js';
import { captured } from '../support/captured.js';
import { buildOvaXml, builtDisk, MIB, object, struct, textStruct } from '../support/xva-builder.js';

const DISKS = [builtDisk('Ref:10', MIB, {}), builtDisk('Ref:11', MIB, {})];
const text = (value: string): string => `<value>${value}</value>`;
const flag = (value: boolean): string => `<value><boolean>${value ? '1' : '0'}</boolean></value>`;

function withSnapshots(): XvaArchive {
  const reader = new XvaReader({ hasDiskData: false });
  reader.push(captured('vm-metadata-with-snapshots.xva'));
  return reader.end().archive;
}

const classes = ({ objects }: XvaArchive): string[] => objects.map(({ class: name, id }) => `${name} ${id}`).sort();

describe('keepOneMachine', () => {
  it('keeps the machine and leaves its snapshot out, with all that is only the snapshot’s', () => {
    const archive = withSnapshots();
    expect(keepOneMachine(archive, new Set(['0'])).map(({ id }) => id)).to.deep.equal(['Ref:32']);
    expect(classes(archive)).to.deep.equal([
      'SR Ref:33',
      'VBD Ref:31',
      'VDI Ref:32',
      'VIF Ref:29',
      'VM Ref:28',
      'network Ref:30',
    ]);
    expect(archiveMachine(archive).snapshot).to.deep.include({
      parent: 'OpaqueRef:NULL',
      snapshots: [],
      VBDs: ['Ref:31'],
    });
  });

  it('takes the newest snapshot when there are only snapshots, and makes a machine of it', () => {
    const archive = withSnapshots();
    const at = archive.objects.findIndex(({ id }) => id === 'Ref:28');
    archive.objects.splice(at, 1);
    expect(keepOneMachine(archive, new Set(['0'])).map(({ id }) => id)).to.deep.equal(['Ref:37']);
    const { id, snapshot } = archiveMachine(archive);
    expect(id).to.equal('Ref:34');
    expect(snapshot).to.include({ is_a_snapshot: false, snapshot_of: 'OpaqueRef:NULL', power_state: 'Halted' });
    expect(archiveDisks(archive).map(({ userdevice }) => userdevice)).to.deep.equal(['0']);
    expect(archiveInterfaces(archive).map((each) => each.id)).to.deep.equal(['Ref:35']);
  });

  it('leaves out disks without data, and keeps the drive for CDs', () => {
    const archive = parseOvaXml(buildOvaXml({ disks: DISKS }));
    expect(keepOneMachine(archive, new Set(['1'])).map(({ id }) => id)).to.deep.equal(['Ref:11']);
    expect(classes(archive).filter((name) => /^V(BD|DI)/.test(name))).to.deep.equal([
      'VBD Ref:2',
      'VBD Ref:91',
      'VDI Ref:11',
    ]);
  });

  it('leaves out networks that no interface of the machine has: an import would make them', () => {
    const objects = object('network', 'Ref:70', textStruct({ uuid: 'other', name_label: 'other', bridge: 'xenbr9' }));
    const archive = parseOvaXml(buildOvaXml({ disks: DISKS, objects }));
    keepOneMachine(archive, new Set(['0', '1']));
    expect(classes(archive).filter((name) => name.startsWith('network'))).to.deep.equal(['network Ref:5']);
  });

  describe('of a suspended machine', () => {
    const machineFields =
      '<member><name>suspend_VDI</name><value>Ref:80</value></member>' +
      '<member><name>power_state</name><value>Suspended</value></member>';
    const objects = object('VDI', 'Ref:80', textStruct({ uuid: 'memory', virtual_size: String(MIB), SR: 'Ref:6' }));
    const suspended = (): XvaArchive => {
      const xml = buildOvaXml({ disks: DISKS, machineFields, objects }).toString();
      return parseOvaXml(
        Buffer.from(xml.replace('<member><name>power_state</name><value>Halted</value></member>', '')),
      );
    };

    it('keeps the memory when it is among the disks', () => {
      const archive = suspended();
      const disks = keepOneMachine(archive, new Set(['0', '1', '']));
      expect(disks.map(({ isMemoryImage }) => isMemoryImage)).to.deep.equal([false, false, true]);
      expect(archiveMachine(archive).snapshot.power_state).to.equal('Suspended');
    });

    it('is off when it is not', () => {
      const archive = suspended();
      expect(keepOneMachine(archive, new Set(['0', '1'])).length).to.equal(2);
      expect(archiveMachine(archive).snapshot).to.include({ power_state: 'Halted', suspend_VDI: 'OpaqueRef:NULL' });
      expect(classes(archive)).not.to.include('VDI Ref:80');
    });
  });

  it('refuses disks that the machine does not have, and two machines', () => {
    expect(() => keepOneMachine(parseOvaXml(buildOvaXml({ disks: DISKS })), new Set(['5']))).to.throw(FormatError, '5');
    const second = object('VM', 'Ref:60', struct({ name_label: text('second'), is_a_snapshot: flag(false) }));
    const two = parseOvaXml(buildOvaXml({ disks: DISKS, objects: second }));
    expect(() => keepOneMachine(two, new Set(['0']))).to.throw(FormatError, 'not of one machine');
  });
});
