import { expect } from 'chai';
import { type ConsistencySubject, type ConsistencyWish, decideConsistency } from '../../src/backup/consistency-plan.js';
import { type BackupError } from '../../src/contract/index.js';
import { type PowerState, readRecord } from '../../src/xapi/xapi-records.js';

const ALL = ['snapshot', 'clean_shutdown', 'hard_shutdown', 'checkpoint', 'snapshot_with_quiesce'];
const MODERN = ALL.filter((operation) => operation !== 'snapshot_with_quiesce');
const BARE = ['snapshot', 'hard_shutdown'];

function subject(
  powerState: PowerState,
  allowed: readonly string[],
  { tags = [] as readonly string[], hasGuestTools = true, isTemplate = false } = {},
): ConsistencySubject {
  const fields = { name_label: 'web', power_state: powerState, allowed_operations: allowed, tags };
  return { record: readRecord('VM', { ...fields, is_a_template: isTemplate }), hasGuestTools };
}

type Expected = readonly [method: string, consistency: string, ...warnings: string[]];
type Row = readonly [what: string, subject: ConsistencySubject, wish: ConsistencyWish, expected: Expected];

const ROWS: readonly Row[] = [
  ['a template', subject('Halted', [], { isTemplate: true }), {}, ['direct', 'offline']],
  ['a halted machine, whatever is asked', subject('Halted', []), { consistency: 'memory' }, ['direct', 'offline']],
  ['a halted machine and quiesce required', subject('Halted', []), { quiesce: 'require' }, ['direct', 'offline']],
  ['a running one, nothing asked', subject('Running', MODERN), {}, ['snapshot', 'crash']],
  ['a running one where VSS is offered', subject('Running', ALL), {}, ['quiesced', 'quiesced']],
  ['VSS offered but never', subject('Running', ALL), { quiesce: 'never' }, ['snapshot', 'crash']],
  ['VSS offered but crash', subject('Running', ALL), { consistency: 'crash' }, ['snapshot', 'crash']],
  [
    'no tools, nothing asked',
    subject('Running', BARE, { hasGuestTools: false }),
    {},
    ['snapshot', 'crash', 'GUEST_TOOLS_MISSING'],
  ],
  [
    'no tools and crash asked',
    subject('Running', BARE, { hasGuestTools: false }),
    { consistency: 'crash' },
    ['snapshot', 'crash'],
  ],
  ['quiesce required', subject('Running', ALL), { quiesce: 'require' }, ['quiesced', 'quiesced']],
  [
    'quiesce preferred, not to be had',
    subject('Running', MODERN),
    { quiesce: 'prefer' },
    ['snapshot', 'crash', 'QUIESCE_UNAVAILABLE'],
  ],
  [
    'quiesced asked, not to be had',
    subject('Paused', MODERN),
    { consistency: 'quiesced' },
    ['snapshot', 'crash', 'QUIESCE_UNAVAILABLE'],
  ],
  ['offline', subject('Running', MODERN), { consistency: 'offline' }, ['shutdown', 'offline']],
  [
    'offline without tools, forced',
    subject('Running', BARE),
    { consistency: 'offline', shutdown: 'force' },
    ['force-shutdown', 'crash', 'SHUTDOWN_FORCED'],
  ],
  [
    'offline without tools, else a snapshot',
    subject('Paused', BARE),
    { consistency: 'offline', shutdown: 'snapshot' },
    ['snapshot', 'crash', 'OFFLINE_UNAVAILABLE'],
  ],
  ['memory', subject('Running', MODERN), { consistency: 'memory' }, ['checkpoint', 'memory']],
  ['memory of a suspended one', subject('Suspended', []), { consistency: 'memory' }, ['direct', 'memory']],
  ['a suspended one', subject('Suspended', []), {}, ['direct', 'crash', 'MEMORY_NOT_SAVED']],
  [
    'a suspended one, offline',
    subject('Suspended', []),
    { consistency: 'offline' },
    ['direct', 'crash', 'OFFLINE_UNAVAILABLE', 'MEMORY_NOT_SAVED'],
  ],
  [
    'a suspended one, quiesced',
    subject('Suspended', []),
    { consistency: 'quiesced' },
    ['direct', 'crash', 'QUIESCE_UNAVAILABLE', 'MEMORY_NOT_SAVED'],
  ],
  ['the tag for offline', subject('Running', MODERN, { tags: ['xo-offline-backup'] }), {}, ['shutdown', 'offline']],
  ['the tag for memory', subject('Running', MODERN, { tags: ['xo-memory-backup'] }), {}, ['checkpoint', 'memory']],
  [
    'the tag for memory where there is none',
    subject('Running', BARE, { tags: ['xo-memory-backup'] }),
    {},
    ['snapshot', 'crash', 'MEMORY_UNAVAILABLE'],
  ],
  [
    'the tag for offline where it is not possible',
    subject('Running', BARE, { tags: ['xo-offline-backup'] }),
    {},
    ['snapshot', 'crash', 'OFFLINE_UNAVAILABLE'],
  ],
  [
    'a tag against the request',
    subject('Running', MODERN, { tags: ['xo-offline-backup'] }),
    { consistency: 'crash' },
    ['snapshot', 'crash'],
  ],
];

const REFUSALS: readonly (readonly [what: string, subject: ConsistencySubject, wish: ConsistencyWish, code: string])[] =
  [
    ['quiesce required, not to be had', subject('Running', MODERN), { quiesce: 'require' }, 'OBJECT_NOT_SUPPORTED'],
    ['quiesce required of a suspended one', subject('Suspended', ALL), { quiesce: 'require' }, 'OBJECT_NOT_SUPPORTED'],
    ['memory not to be had', subject('Running', BARE), { consistency: 'memory' }, 'OBJECT_NOT_SUPPORTED'],
    ['offline not to be had', subject('Running', BARE), { consistency: 'offline' }, 'OBJECT_NOT_SUPPORTED'],
    ['quiesced but never', subject('Running', ALL), { consistency: 'quiesced', quiesce: 'never' }, 'REQUEST_INVALID'],
    ['crash but required', subject('Running', ALL), { consistency: 'crash', quiesce: 'require' }, 'REQUEST_INVALID'],
    [
      'a shutdown policy for crash',
      subject('Running', ALL),
      { consistency: 'crash', shutdown: 'force' },
      'REQUEST_INVALID',
    ],
  ];

describe('consistency-plan', () => {
  describe('decideConsistency', () => {
    for (const [what, machine, wish, [method, consistency, ...warnings]] of ROWS) {
      it(`${what}: ${method}, ${consistency}${warnings.length > 0 ? `, ${warnings.join(', ')}` : ''}`, () => {
        const decision = decideConsistency(machine, wish);
        expect(decision).to.include({ method, consistency });
        expect(decision.warnings.map(({ code }) => code)).to.deep.equal(warnings);
        expect(decision.withMemory).to.equal(consistency === 'memory');
      });
    }

    for (const [what, machine, wish, code] of REFUSALS) {
      it(`refuses ${what} with ${code}`, () => {
        expect(() => decideConsistency(machine, wish))
          .to.throw()
          .that.satisfies((error: BackupError) => error.code === code && (error.hint ?? '') !== '');
      });
    }

    it('falls back only where nobody insists', () => {
      expect(decideConsistency(subject('Running', ALL), {}).fallsBack).to.equal(true);
      expect(decideConsistency(subject('Running', ALL), { quiesce: 'require' }).fallsBack).to.equal(false);
      expect(decideConsistency(subject('Running', ALL), { consistency: 'memory' }).fallsBack).to.equal(false);
    });
  });
});
