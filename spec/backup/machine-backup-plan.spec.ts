import { expect } from 'chai';
import { machineDetails, planMachineBackup } from '../../src/backup/machine-backup-plan.js';
import { type Machine } from '../../src/browser/machine.js';
import { machineDetailsSchema } from '../../src/format/machine-details.js';
import { type PowerState, readRecord, type RefOf } from '../../src/xapi/xapi-records.js';

const UUID = '00000000-0000-4000-8000-000000000001';
const MIB = 1024 * 1024;

/** A machine as it may be found while others change the pool: its storage, network and host are gone. */
function machine(powerState: PowerState, usedBytes: number, type = 'Disk'): Machine {
  return {
    ref: 'OpaqueRef:vm' as RefOf<'VM'>,
    record: readRecord('VM', { uuid: UUID, name_label: 'web', power_state: powerState }),
    devices: [
      {
        ref: 'OpaqueRef:vbd' as RefOf<'VBD'>,
        record: readRecord('VBD', { userdevice: '0', type, mode: 'RW' }),
        medium: {
          ref: 'OpaqueRef:vdi' as RefOf<'VDI'>,
          record: readRecord('VDI', { uuid: 'd', virtual_size: MIB, physical_utilisation: usedBytes }),
        },
      },
    ],
    interfaces: [
      {
        ref: 'OpaqueRef:vif' as RefOf<'VIF'>,
        record: readRecord('VIF', { device: '0', MAC: '02:00:00:00:00:01', MTU: 1500 }),
        network: undefined,
      },
    ],
    storages: new Map(),
    hasGuestTools: true,
  };
}

describe('machine-backup-plan', () => {
  describe('planMachineBackup', () => {
    const cases: readonly (readonly [
      state: PowerState,
      way: string,
      consistency: string,
      warnings: readonly string[],
    ])[] = [
      ['Running', 'snapshot', 'crash', []],
      ['Paused', 'snapshot', 'crash', []],
      ['Halted', 'direct', 'offline', []],
      ['Suspended', 'direct', 'crash', ['MEMORY_NOT_SAVED']],
    ];
    for (const [state, way, consistency, warnings] of cases) {
      it(`saves a ${state.toLowerCase()} machine by way of ${way}, ${consistency}`, () => {
        const plan = planMachineBackup(machine(state, 0));
        expect(plan).to.include({ way, consistency });
        expect(plan.warnings.map(({ code }) => code)).to.deep.equal(warnings);
      });
    }

    it('expects what a disk uses, or its size when the storage does not say', () => {
      const overhead = planMachineBackup(machine('Halted', 1, 'CD')).expectedBytes;
      expect(planMachineBackup(machine('Halted', 4096)).expectedBytes - overhead).to.equal(4096);
      expect(planMachineBackup(machine('Halted', 0)).expectedBytes - overhead).to.equal(MIB);
      expect(planMachineBackup(machine('Halted', 9 * MIB)).expectedBytes - overhead).to.equal(MIB);
    });
  });

  describe('machineDetails', () => {
    it('is valid although storage, network and host are gone', () => {
      const found = machine('Running', 0);
      const details = machineDetails(found, planMachineBackup(found), undefined);
      expect(machineDetailsSchema.parse(JSON.parse(JSON.stringify(details)))).to.deep.equal(details);
      expect(details.disks[0]).to.include({ storageId: '', storageName: '' });
      expect(details.interfaces[0]).to.include({ networkId: '', networkName: '' });
      expect(details.release).to.deep.equal({ brand: '', version: '', build: '' });
    });
  });
});
