import { expect } from 'chai';
import { type Machine } from '../../src/browser/machine.js';
import { freePlace, sparedDisks } from '../../src/restore/spared-disks.js';

/** A machine with disks in places: `0: a` is the disk with the UUID `a` in place 0. */
function machine(disks: Readonly<Record<string, string>>): Pick<Machine, 'devices'> {
  const devices = Object.entries(disks).map(([userdevice, uuid]) => ({
    ref: `vbd-${userdevice}`,
    record: { userdevice, type: 'Disk' },
    medium: { ref: `vdi-${uuid}`, record: { uuid } },
  }));
  return { devices } as unknown as Pick<Machine, 'devices'>;
}

interface Backup {
  readonly saved: Readonly<Record<string, string>>;
  readonly leftOut?: readonly string[];
  readonly excluded?: Readonly<Record<string, string>>;
}

function wish({ saved, leftOut = [], excluded = {} }: Backup): Parameters<typeof sparedDisks>[1] {
  const list = (some: Readonly<Record<string, string>>) =>
    Object.entries(some).map(([position, uuid]) => ({ position, uuid }));
  const disks = list(saved);
  return {
    leftOut: disks.filter(({ position }) => leftOut.includes(position)),
    details: { disks, excludedDisks: list(excluded) },
  } as unknown as Parameters<typeof sparedDisks>[1];
}

const spared = (now: Readonly<Record<string, string>>, backup: Backup): string[] =>
  sparedDisks(machine(now), wish(backup)).map(({ medium }) => medium.record.uuid);

describe('sparedDisks', () => {
  it('has none when the backup has all', () => {
    expect(spared({ 0: 'a', 1: 'b' }, { saved: { 0: 'a', 1: 'b' } })).to.deep.equal([]);
  });

  it('has what is in the place of a disk that is left out of the restore', () => {
    expect(spared({ 0: 'a', 1: 'x' }, { saved: { 0: 'a', 1: 'b' }, leftOut: ['1'] })).to.deep.equal(['x']);
  });

  it('has a disk that was left out of the backup wherever it is now', () => {
    expect(spared({ 0: 'a', 2: 'c' }, { saved: { 0: 'a' }, excluded: { 2: 'c' } })).to.deep.equal(['c']);
    expect(spared({ 0: 'c', 5: 'a' }, { saved: { 0: 'a' }, excluded: { 2: 'c' } })).to.deep.equal(['c']);
  });

  it('has another disk in its place, too, unless the backup has that one', () => {
    expect(spared({ 0: 'a', 2: 'x' }, { saved: { 0: 'a' }, excluded: { 2: 'c' } })).to.deep.equal(['x']);
    expect(spared({ 2: 'a' }, { saved: { 0: 'a' }, excluded: { 2: 'c' } })).to.deep.equal([]);
  });
});

describe('freePlace', () => {
  it('is the wanted one, else the first that nothing is in', () => {
    expect(freePlace('2', new Set(['0']))).to.equal('2');
    expect(freePlace('2', new Set(['0', '2']))).to.equal('1');
  });
});
