import { expect } from 'chai';
import { isBackupError } from '../../src/contract/index.js';
import { type PlacesWish, placeDisks, storagesInQuestion } from '../../src/restore/disk-places.js';
import { type SavedDisk } from '../../src/restore/disk-selection.js';
import { type StorageSituation } from '../../src/restore/storage-choice.js';
import { readRecord, type RefOf } from '../../src/xapi/xapi-records.js';

const ref = (name: string): RefOf<'SR'> => `OpaqueRef:${name}` as RefOf<'SR'>;
const UUIDS: Readonly<Record<string, string>> = {
  a: '00000000-0000-4000-8000-00000000000a',
  b: '00000000-0000-4000-8000-00000000000b',
  c: '00000000-0000-4000-8000-00000000000c',
};

/** Storages by name with their free bytes; all of files unless their name begins with `lvm`. */
function situation(free: Readonly<Record<string, number>>, more: Partial<StorageSituation> = {}): StorageSituation {
  const storages = Object.entries(free).map(
    ([name, bytes]) =>
      [
        ref(name),
        readRecord('SR', {
          uuid: UUIDS[name] ?? `uuid-${name}`,
          name_label: name,
          type: name.startsWith('lvm') ? 'lvm' : 'nfs',
          content_type: 'user',
          physical_size: String(bytes),
          physical_utilisation: '0',
        }),
      ] as const,
  );
  return {
    storages: new Map(storages),
    attached: new Set(storages.map(([storage]) => storage)),
    defaultStorage: ref('c'),
    ...more,
  };
}

const disk = (position: string, sizeBytes: number, from: string): SavedDisk => ({
  position,
  name: `disk ${position}`,
  uuid: `0000000${position}-0000-4000-8000-000000000000`,
  description: '',
  sizeBytes,
  isBootable: position === '0',
  mode: 'RW',
  storageId: UUIDS[from] ?? '',
  storageName: from,
});

const wish = (more: Partial<PlacesWish> = {}): PlacesWish => ({
  disks: [disk('0', 30, 'a'), disk('1', 20, 'b')],
  rules: [],
  storage: undefined,
  memoryBytes: 0,
  archiveBytes: 1000,
  ...more,
});

const ROOM = { a: 100, b: 100, c: 100 };

function placed(asked: PlacesWish, now: StorageSituation): unknown {
  try {
    const { importTo, byPosition, neededBytes } = placeDisks(asked, now);
    const places = Object.fromEntries([...byPosition].map(([position, { record }]) => [position, record.name_label]));
    return { to: importTo.record.name_label, neededBytes, ...places };
  } catch (error) {
    return isBackupError(error) ? error.code : error;
  }
}

describe('placeDisks', () => {
  const cases: readonly (readonly [what: string, asked: PlacesWish, now: StorageSituation, expected: unknown])[] = [
    ['disks go where they were', wish(), situation(ROOM), { to: 'a', neededBytes: 50, 0: 'a', 1: 'b' }],
    [
      'a storage named for all takes all',
      wish({ storage: 'c' }),
      situation(ROOM),
      { to: 'c', neededBytes: 50, 0: 'c', 1: 'c' },
    ],
    [
      'a rule goes before the storage named for all',
      wish({ storage: 'c', rules: [{ disk: 'disk 1', to: 'a' }] }),
      situation(ROOM),
      { to: 'c', neededBytes: 50, 0: 'c', 1: 'a' },
    ],
    [
      'a rule by UUID goes before where the disk was',
      wish({ rules: [{ disk: '00000000-0000-4000-8000-000000000000', to: UUIDS.b! }] }),
      situation(ROOM),
      { to: 'b', neededBytes: 50, 0: 'b', 1: 'b' },
    ],
    [
      'a storage that is gone gives way to the default',
      wish(),
      situation({ b: 100, c: 100 }),
      { to: 'c', neededBytes: 50, 0: 'c', 1: 'b' },
    ],
    [
      'so does one that is not attached',
      wish(),
      situation(ROOM, { attached: new Set([ref('b'), ref('c')]) }),
      { to: 'c', neededBytes: 50, 0: 'c', 1: 'b' },
    ],
    [
      'so does one without room',
      wish(),
      situation({ a: 10, b: 100, c: 100 }),
      { to: 'c', neededBytes: 50, 0: 'c', 1: 'b' },
    ],
    [
      'two disks of one storage need room for both',
      wish({ disks: [disk('0', 60, 'a'), disk('1', 60, 'a')] }),
      situation({ a: 100, c: 200 }),
      { to: 'c', neededBytes: 120, 0: 'a', 1: 'c' },
    ],
    [
      'the import goes to the next one when the largest share has no room for all',
      wish(),
      situation({ a: 40, b: 60, c: 0 }),
      { to: 'b', neededBytes: 50, 0: 'a', 1: 'b' },
    ],
    [
      'where no storage has room for the way round, the default takes all',
      wish(),
      situation({ a: 40, b: 40, c: 60 }),
      { to: 'c', neededBytes: 50, 0: 'c', 1: 'c' },
    ],
    [
      'unless somebody has named the storages',
      wish({
        rules: [
          { disk: '0', to: 'a' },
          { disk: '1', to: 'b' },
        ],
      }),
      situation({ a: 40, b: 40, c: 60 }),
      'STORAGE_FULL',
    ],
    [
      'thick storage needs the sizes, the others what the backup holds',
      wish({ storage: 'lvm', archiveBytes: 5 }),
      situation({ ...ROOM, lvm: 49 }),
      'STORAGE_FULL',
    ],
    [
      'files need what the backup holds',
      wish({ storage: 'c', archiveBytes: 5 }),
      situation({ ...ROOM, c: 9 }),
      { to: 'c', neededBytes: 5, 0: 'c', 1: 'c' },
    ],
    [
      'memory keeps all disks on one storage',
      wish({ memoryBytes: 10 }),
      situation(ROOM),
      { to: 'a', neededBytes: 60, 0: 'a', 1: 'a' },
    ],
    [
      'memory and two named storages',
      wish({ memoryBytes: 10, rules: [{ disk: '0', to: 'b' }], storage: 'c' }),
      situation(ROOM),
      'REQUEST_INVALID',
    ],
    ['no default and nowhere to go back to', wish(), situation({ b: 100 }), 'STORAGE_NOT_FOUND'],
    [
      'a rule for a disk that is not there',
      wish({ rules: [{ disk: '7', to: 'a' }] }),
      situation(ROOM),
      'REQUEST_INVALID',
    ],
    [
      'two rules for one disk',
      wish({
        rules: [
          { disk: '0', to: 'a' },
          { disk: 'disk 0', to: 'b' },
        ],
      }),
      situation(ROOM),
      'REQUEST_INVALID',
    ],
    ['a storage that is not there', wish({ rules: [{ disk: '0', to: 'x' }] }), situation(ROOM), 'STORAGE_NOT_FOUND'],
    ['a machine without disks', wish({ disks: [] }), situation(ROOM), { to: 'c', neededBytes: 0 }],
  ];
  for (const [what, asked, now, expected] of cases) {
    it(what, () => {
      expect(placed(asked, now)).to.deep.equal(expected);
    });
  }

  it('names what there is to choose from', () => {
    try {
      placeDisks(wish(), situation({ b: 100 }));
      expect.fail('nothing was refused');
    } catch (error) {
      expect(isBackupError(error) && error.hint).to.match(/"b" \(.*100 B free\)/);
    }
  });
});

describe('storagesInQuestion', () => {
  it('are those that could be chosen, and no other', () => {
    const asked = (more: Partial<PlacesWish>): readonly string[] => [
      ...storagesInQuestion(wish(more), situation(ROOM)),
    ];
    expect(asked({})).to.have.members([ref('a'), ref('b'), ref('c')]);
    expect(asked({ storage: 'b' })).to.deep.equal([ref('b')]);
    expect(asked({ storage: 'b', rules: [{ disk: '0', to: 'a' }] })).to.have.members([ref('a'), ref('b')]);
  });
});
