import { expect } from 'chai';
import { assertOutsidePool } from '../../src/session/data-mover.js';

const MEMBERS = [
  {
    uuid: '00000000-0000-4000-8000-00000000000a',
    name: 'Rack 1 left',
    hostname: 'xen-01',
    address: '192.0.2.11',
    dataAddress: '198.51.100.11',
  },
  { uuid: 'b', name: 'Rack 1 right', hostname: 'xen-02.example.org', address: '192.0.2.12', dataAddress: undefined },
];

const isRefused = (names: readonly string[], addresses: readonly string[] = []): boolean => {
  try {
    assertOutsidePool({ names, addresses }, MEMBERS);
    return false;
  } catch (error) {
    expect(error).to.include({ code: 'CONFIG_INVALID' });
    return true;
  }
};

describe('data-mover', () => {
  const cases: readonly (readonly [mover: string, isRefused: boolean])[] = [
    ['xen-01', true],
    ['XEN-01', true],
    ['xen-01.example.org', true],
    ['xen-02', true],
    ['xen-02.example.org', true],
    ['xen-02.example.com', false],
    ['Rack 1 left', true],
    ['192.0.2.12', true],
    ['00000000-0000-4000-8000-00000000000A', true],
    ['backup-01', false],
    ['192.0.2.13', false],
    ['xen-011', false],
  ];
  for (const [mover, expected] of cases) {
    it(`${mover} is ${expected ? 'refused' : 'taken'}`, () => {
      expect(isRefused([mover])).to.equal(expected);
    });
  }

  it('knows this machine by its address, whatever it is called', () => {
    expect(isRefused(['backup-01'], ['10.0.0.1', '192.0.2.12'])).to.equal(true);
    expect(isRefused(['backup-01'], ['10.0.0.1'])).to.equal(false);
  });
});
