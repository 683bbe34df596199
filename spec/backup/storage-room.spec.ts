import { expect } from 'chai';
import { noRoom, roomOf, snapshotNeeds, unmetNeed } from '../../src/backup/storage-room.js';
import { type Machine } from '../../src/browser/machine.js';
import { MIB } from '../../src/common/byte-size.js';
import { readRecord, type RefOf, type SrRecord } from '../../src/xapi/xapi-records.js';

const THICK = 'OpaqueRef:thick' as RefOf<'SR'>;
const THIN = 'OpaqueRef:thin' as RefOf<'SR'>;
const ISO = 'OpaqueRef:iso' as RefOf<'SR'>;

const storage = (name: string, type: string, sizeMib: number, usedMib: number): SrRecord =>
  readRecord('SR', {
    uuid: `uuid of ${name}`,
    name_label: name,
    type,
    content_type: type === 'iso' ? 'iso' : 'user',
    physical_size: sizeMib * MIB,
    physical_utilisation: usedMib * MIB,
  });

const STORAGES = new Map([
  [THICK, storage('Thick', 'lvmoiscsi', 200, 120)],
  [THIN, storage('Thin', 'nfs', 500, 100)],
  [ISO, storage('Images', 'iso', 900, 0)],
]);

const disk = (sr: RefOf<'SR'>, sizeMib: number): Machine['devices'][number] => ({
  ref: 'OpaqueRef:vbd' as RefOf<'VBD'>,
  record: readRecord('VBD', { type: 'Disk' }),
  medium: {
    ref: 'OpaqueRef:vdi' as RefOf<'VDI'>,
    record: readRecord('VDI', { SR: sr, virtual_size: sizeMib * MIB, physical_utilisation: MIB }),
  },
});

describe('storage-room', () => {
  it('needs the whole disks where storage is thick, and little where it is thin', () => {
    const devices = [disk(THICK, 50), disk(THICK, 30), disk(THIN, 100_000)];
    expect(snapshotNeeds({ devices, storages: STORAGES }, { storage: THIN, bytes: 256 * MIB })).to.deep.equal([
      { storage: THICK, neededBytes: (50 + 30 + 2 * 12) * MIB },
      { storage: THIN, neededBytes: (16 + 256) * MIB },
    ]);
  });

  it('finds the first need that does not fit, to the byte', () => {
    const freeBytes = 80 * MIB;
    expect(unmetNeed([{ storage: THICK, neededBytes: freeBytes }], STORAGES)).to.equal(undefined);
    expect(unmetNeed([{ storage: THICK, neededBytes: freeBytes + 1 }], STORAGES)).to.deep.equal({
      storage: THICK,
      neededBytes: freeBytes + 1,
      freeBytes,
    });
  });

  it('does not judge a storage without a size, or one that is gone', () => {
    expect(roomOf(storage('Endless', 'nfs', 0, 5))).to.equal(undefined);
    expect(unmetNeed([{ storage: 'OpaqueRef:gone' as RefOf<'SR'>, neededBytes: 1 }], STORAGES)).to.equal(undefined);
  });

  it('says the numbers and which storages could take it', () => {
    const unmet = { storage: THICK, neededBytes: 104 * MIB, freeBytes: 80 * MIB };
    const refusal = noRoom('web', unmet, { storages: STORAGES, attached: new Set([THICK, THIN, ISO]) });
    expect(refusal.code).to.equal('STORAGE_FULL');
    expect(refusal.message).to.equal('A snapshot of "web" can need 104.0 MiB on "Thick", which has 80.0 MiB left.');
    expect(refusal.context.candidates).to.deep.equal(['"Thin" (uuid of Thin, 400.0 MiB free)']);
    const none = noRoom('web', unmet, { storages: STORAGES, attached: new Set([THICK]) });
    expect(none.context.candidates).to.deep.equal([]);
  });
});
