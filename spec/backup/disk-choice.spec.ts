import { expect } from 'chai';
import { chooseDisks, type DiskChoice } from '../../src/backup/disk-choice.js';
import { type Machine } from '../../src/browser/machine.js';
import { type BackupError } from '../../src/contract/index.js';
import { readRecord, type RefOf } from '../../src/xapi/xapi-records.js';

const NAMES = ['root', 'data', 'swap [NOBAK]'];

const machine: Machine = {
  ref: 'OpaqueRef:vm' as RefOf<'VM'>,
  record: readRecord('VM', { uuid: 'vm', name_label: 'web' }),
  devices: [
    ...NAMES.map((name, index) => ({
      ref: `OpaqueRef:vbd${index}` as RefOf<'VBD'>,
      record: readRecord('VBD', { userdevice: String(index), type: 'Disk' }),
      medium: {
        ref: `OpaqueRef:vdi${index}` as RefOf<'VDI'>,
        record: readRecord('VDI', { uuid: `uuid-${index}`, name_label: name, virtual_size: 512 }),
      },
    })),
    {
      ref: 'OpaqueRef:cd' as RefOf<'VBD'>,
      record: readRecord('VBD', { userdevice: '3', type: 'CD' }),
      medium: undefined,
    },
  ],
  interfaces: [],
  storages: new Map(),
  hasGuestTools: false,
};

describe('chooseDisks', () => {
  const cases: readonly (readonly [what: string, choice: DiskChoice, left: readonly string[]])[] = [
    ['all but those whose name says so', { only: undefined, except: [] }, ['2 name']],
    ['not what is named, by position', { only: undefined, except: ['1'] }, ['1 request', '2 name']],
    ['not what is named, by uuid', { only: undefined, except: ['uuid-0'] }, ['0 request', '2 name']],
    ['not what is named, by name', { only: undefined, except: ['root', 'data'] }, ['0 request', '1 request', '2 name']],
    ['only what is named', { only: ['data'], except: [] }, ['0 request', '2 request']],
    ['what is named in spite of its name', { only: ['0', 'swap [NOBAK]'], except: [] }, ['1 request']],
    ['never what is both', { only: ['0', '1'], except: ['0'] }, ['0 request', '2 request']],
  ];
  for (const [what, choice, left] of cases) {
    it(`takes ${what}`, () => {
      const chosen = chooseDisks(machine, choice);
      expect(chosen.excluded.map(({ position, by }) => `${position} ${by}`)).to.deep.equal(left);
      expect(chosen.left.map(({ medium }) => medium.record.uuid)).to.deep.equal(
        chosen.excluded.map(({ uuid }) => uuid),
      );
      // Drives stay, and so does every disk that was not left out.
      expect(chosen.machine.devices).to.have.length(machine.devices.length - left.length);
    });
  }

  it('refuses a name that no disk has, and says which there are', () => {
    try {
      chooseDisks(machine, { only: ['nobody'], except: [] });
      expect.fail('nothing was refused');
    } catch (error) {
      expect(error).to.include({ code: 'REQUEST_INVALID' });
      expect((error as BackupError).hint).to.include('1 "data" (uuid-1)');
    }
  });
});
