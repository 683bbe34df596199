import { expect } from 'chai';
import { planOverwrites, planRemovals, type ReconcileSituation } from '../../src/provider/reconcile-plan.js';
import { JOURNAL_DONE_KEY, JOURNAL_KEY } from '../../src/restore/machine-state.js';
import { RUN_MARK_KEY } from '../../src/session/run-marks.js';
import { readRecord, type RefOf, type VdiRecord, type VmRecord } from '../../src/xapi/xapi-records.js';

const NOW_MS = Date.parse('2026-11-22T12:00:00Z');
const HOUR_MS = 3_600_000;

interface MarkFields {
  readonly run?: string;
  readonly host?: string;
  readonly aliveUntilMs?: number;
  readonly role?: string;
}

const mark = (fields: MarkFields = {}): Record<string, string> => ({
  [RUN_MARK_KEY]: JSON.stringify({
    run: 'r1',
    host: 'me',
    sinceMs: 0,
    aliveUntilMs: NOW_MS - 1,
    role: 'snapshot',
    ...fields,
  }),
});

const vm = (fields: object): VmRecord =>
  readRecord('VM', { uuid: 'vm-1', name_label: '[xen-backup r1] web', ...fields });
const vdi = (fields: object): VdiRecord => readRecord('VDI', { uuid: 'vdi-1', name_label: 'root', ...fields });

function situation(
  machines: readonly VmRecord[],
  disks: readonly VdiRecord[] = [],
  more: Partial<ReconcileSituation> = {},
): ReconcileSituation {
  return {
    machines: new Map(machines.map((record, index) => [`OpaqueRef:vm${index}` as RefOf<'VM'>, record])),
    disks: new Map(disks.map((record, index) => [`OpaqueRef:vdi${index}` as RefOf<'VDI'>, record])),
    hostId: 'me',
    nowMs: NOW_MS,
    stateOf: () => 'unknown',
    ...more,
  };
}

const journal = (fields: object = {}): Record<string, string> => ({
  [JOURNAL_KEY]: JSON.stringify({
    version: 1,
    run: 'r1',
    host: 'me',
    sinceMs: 0,
    aliveUntilMs: NOW_MS - 1,
    machine: 'vm-1',
    imported: 'vm-2',
    before: {
      fields: {},
      memory: [1, 1, 1, 1],
      vcpus: { max: 1, atStartup: 1 },
      otherConfig: {},
      devices: [],
      interfaces: [],
    },
    oldDisks: [],
    newDisks: [],
    ...fields,
  }),
});

describe('reconcile-plan', () => {
  describe('planRemovals', () => {
    const snapshot = (config: object, more: object = {}): VmRecord =>
      vm({ is_a_snapshot: true, is_a_template: true, other_config: config, ...more });
    const cases: readonly (readonly [
      what: string,
      machine: VmRecord,
      verdict: 'removed' | 'kept' | 'ignored',
      more?: Partial<ReconcileSituation>,
    ])[] = [
      ['our snapshot of a dead run', snapshot(mark()), 'removed'],
      ['our snapshot of a run that is alive', snapshot(mark({ aliveUntilMs: NOW_MS + 1 })), 'kept'],
      ['our snapshot of a run of this process', snapshot(mark()), 'kept', { stateOf: () => 'running' }],
      [
        'our snapshot of a run that this process has ended',
        snapshot(mark({ aliveUntilMs: NOW_MS + 1 })),
        'removed',
        { stateOf: () => 'ended' },
      ],
      ["another host's snapshot", snapshot(mark({ host: 'other' })), 'kept'],
      ['a machine cloned from our snapshot', vm({ other_config: mark() }), 'kept'],
      ['our snapshot that somebody renamed', snapshot(mark(), { name_label: 'keep this' }), 'kept'],
      ['a half-made import of a dead run', vm({ other_config: mark({ role: 'import' }) }), 'removed'],
      ['a snapshot of an import', snapshot(mark({ role: 'import' })), 'kept'],
      ['a machine that was shut down for its backup', vm({ other_config: mark({ role: 'offline' }) }), 'ignored'],
      ['a snapshot of such a machine', snapshot(mark({ role: 'offline' })), 'kept'],
      ['an old snapshot with our name and no mark', snapshot({}, { snapshot_time: '20261122T08:00:00Z' }), 'removed'],
      ['a young snapshot with our name and no mark', snapshot({}, { snapshot_time: '20261122T11:50:00Z' }), 'kept'],
      ['a machine with such a name', vm({}), 'ignored'],
      ["somebody's snapshot", snapshot({}, { name_label: 'before the update' }), 'ignored'],
      ['a mark that is no mark', snapshot({ [RUN_MARK_KEY]: '{"run":1}' }, { name_label: 'x' }), 'ignored'],
      ['a mark that is not JSON', snapshot({ [RUN_MARK_KEY]: 'yes' }, { name_label: 'x' }), 'ignored'],
    ];
    for (const [what, machine, verdict, more] of cases) {
      it(`has ${what} ${verdict}`, () => {
        const plan = planRemovals(situation([machine], [], more), new Set());
        expect(plan.machines).to.have.length(verdict === 'removed' ? 1 : 0);
        expect(plan.kept).to.have.length(verdict === 'kept' ? 1 : 0);
      });
    }

    it('leaves the imports of an overwrite that stays', () => {
      const machine = vm({ other_config: mark({ role: 'import' }) });
      const disk = vdi({ other_config: mark({ role: 'import' }) });
      const plan = planRemovals(situation([machine], [disk]), new Set(['r1']));
      expect(plan.machines.length + plan.disks.length).to.equal(0);
      expect(plan.kept).to.have.length(2);
    });

    it('removes disks that nobody has, unmarks disks in use, and leaves to a machine what goes with it', () => {
      const config = mark({ role: 'import' });
      const machine = vm({ other_config: config, VBDs: ['OpaqueRef:going'] });
      const disks = [
        vdi({ other_config: config }),
        vdi({ other_config: config, VBDs: ['OpaqueRef:used'] }),
        vdi({ other_config: config, VBDs: ['OpaqueRef:going'] }),
        vdi({ other_config: config, is_a_snapshot: true }),
        vdi({ other_config: {} }),
        vdi({ other_config: mark({ role: 'import', host: 'other' }) }),
      ];
      const plan = planRemovals(situation([machine], disks), new Set());
      expect(plan.disks.map(({ ref }) => ref)).to.deep.equal(['OpaqueRef:vdi0']);
      expect(plan.staleMarks.map(({ ref }) => ref)).to.deep.equal(['OpaqueRef:vdi1']);
      expect(plan.kept.map(({ kind }) => kind)).to.deep.equal(['disk']);
    });
  });

  describe('planOverwrites', () => {
    const done = { [JOURNAL_DONE_KEY]: 'true' };
    const cases: readonly (readonly [what: string, fields: object, verdict: string])[] = [
      ['an interrupted one', { other_config: journal() }, 'undone'],
      ['one that had come to its last part', { other_config: { ...journal(), ...done } }, 'finished'],
      ['one whose machine runs half-way', { other_config: journal(), power_state: 'Running' }, 'kept'],
      ['one that is done and runs', { other_config: { ...journal(), ...done }, power_state: 'Running' }, 'finished'],
      ['one of another host', { other_config: journal({ host: 'other' }) }, 'kept'],
      ['one that may be alive', { other_config: journal({ aliveUntilMs: NOW_MS + HOUR_MS }) }, 'kept'],
      ['the journal in a copy of the machine', { other_config: journal({ machine: 'vm-9' }) }, 'kept'],
      ['the journal in a snapshot', { other_config: journal(), is_a_snapshot: true }, 'ignored'],
      ['a journal that is not readable', { other_config: { [JOURNAL_KEY]: '{' } }, 'kept'],
      ['the word "done" alone', { other_config: done }, 'stray'],
      ['a machine like any other', {}, 'ignored'],
    ];
    for (const [what, fields, verdict] of cases) {
      it(`has ${what} ${verdict}`, () => {
        const plan = planOverwrites(situation([vm(fields)]));
        const found = [
          ...plan.interrupted.map(({ overwrite }) => (overwrite.isDone ? 'finished' : 'undone')),
          ...plan.strayKeys.map(() => 'stray'),
          ...plan.kept.map(() => 'kept'),
        ];
        expect(found).to.deep.equal(verdict === 'ignored' ? [] : [verdict]);
      });
    }
  });
});
