import { expect } from 'chai';
import { planBases } from '../../src/provider/reconcile-bases.js';
import { planRemovals, type ReconcileSituation } from '../../src/provider/reconcile-plan.js';
import { RUN_MARK_KEY, SETTLED_KEY } from '../../src/session/run-marks.js';
import { readRecord, type RefOf, type VdiRecord, type VmRecord } from '../../src/xapi/xapi-records.js';

const NOW_MS = 1_000_000;
const SOURCE = 'OpaqueRef:source';

const mark = (more: object = {}): Record<string, string> => ({
  [RUN_MARK_KEY]: JSON.stringify({
    run: 's1',
    host: 'me',
    sinceMs: 0,
    aliveUntilMs: NOW_MS - 1,
    role: 'base',
    ...more,
  }),
});
const MACHINE = { object: 'vm-1' };
const DISK = { object: 'vdi-1' };
const settled = (more: object = {}): Record<string, string> => ({ ...mark(more), [SETTLED_KEY]: 's1' });
const snapshot = (fields: object = {}): VmRecord =>
  readRecord('VM', { uuid: 'vm-1', name_label: 'web', is_a_snapshot: true, other_config: mark(MACHINE), ...fields });
const base = (fields: object = {}): VdiRecord =>
  readRecord('VDI', {
    uuid: 'vdi-1',
    name_label: 'root',
    type: 'user',
    is_a_snapshot: true,
    snapshot_of: SOURCE,
    cbt_enabled: true,
    other_config: mark({ ...DISK, keep: 'metadata' }),
    ...fields,
  });

function situation(
  machines: readonly VmRecord[],
  disks: readonly VdiRecord[],
  more: Partial<ReconcileSituation> = {},
): ReconcileSituation {
  return {
    machines: new Map(machines.map((record, index) => [`OpaqueRef:vm${index}` as RefOf<'VM'>, record])),
    disks: new Map<RefOf<'VDI'>, VdiRecord>([
      [SOURCE as RefOf<'VDI'>, readRecord('VDI', { uuid: 'source' })],
      ...disks.map((record, index) => [`OpaqueRef:vdi${index}` as RefOf<'VDI'>, record] as const),
    ]),
    hostId: 'me',
    nowMs: NOW_MS,
    stateOf: () => 'unknown',
    ...more,
  };
}

describe('planBases', () => {
  const metadata = { type: 'cbt_metadata', other_config: settled({ ...DISK, keep: 'metadata' }) };
  const cases: readonly (readonly [what: string, outcome: string, where: ReconcileSituation])[] = [
    ['one whose saveset was never stored', 'discarded', situation([snapshot()], [base()])],
    ['disks alone whose saveset was never stored', 'discarded', situation([], [base()])],
    [
      'one whose host may still say something',
      'kept',
      situation([snapshot({ other_config: mark({ ...MACHINE, aliveUntilMs: NOW_MS + 1 }) })], [base()]),
    ],
    ['one whose run this process has under way', 'kept', situation([], [base()], { stateOf: () => 'running' })],
    [
      'one of a run that has ended here, before its time is over',
      'kept',
      situation([snapshot({ other_config: mark({ ...MACHINE, aliveUntilMs: NOW_MS + 1 }) })], [], {
        stateOf: () => 'ended',
      }),
    ],
    ['one of another host', 'kept', situation([snapshot({ other_config: mark({ ...MACHINE, host: 'other' }) })], [])],
    ['a settled bitmap', 'kept', situation([], [base(metadata)])],
    [
      'a settled whole snapshot',
      'kept',
      situation([], [base({ cbt_enabled: false, other_config: settled({ ...DISK, keep: 'snapshot' }) })]),
    ],
    ['a settled one that still has its data', 'unfinished kept', situation([], [base({ ...metadata, type: 'user' })])],
    ['a settled one that still has its machine', 'unfinished kept', situation([snapshot()], [base(metadata)])],
    ['a bitmap that is worth nothing any more', 'useless', situation([], [base({ ...metadata, cbt_enabled: false })])],
    [
      'a settled one whose disk is gone',
      'useless',
      situation([], [base({ ...metadata, snapshot_of: 'OpaqueRef:gone' })]),
    ],
    [
      'a copy that somebody made',
      '',
      situation([snapshot({ is_a_snapshot: false })], [base({ is_a_snapshot: false })]),
    ],
    ['a snapshot that somebody made of a copy', '', situation([snapshot({ uuid: 'vm-9' })], [base({ uuid: 'vdi-9' })])],
    ['what is none of ours', '', situation([snapshot({ other_config: {} })], [base({ other_config: {} })])],
  ];
  for (const [what, outcome, where] of cases) {
    it(`${what}: ${outcome === '' ? 'not looked at' : outcome}`, () => {
      const plan = planBases(where);
      const lists = (['discarded', 'unfinished', 'useless', 'kept'] as const).filter((list) => plan[list].length > 0);
      expect(lists.join(' ')).to.equal(outcome);
    });
  }

  it('is the only one to judge them', () => {
    const where = situation([snapshot({ name_label: '[xen-backup s1] web' })], [base()]);
    const { machines, disks, kept } = planRemovals(where, new Set());
    expect({ machines, disks, kept }).to.deep.equal({ machines: [], disks: [], kept: [] });
  });

  it("names the machine's snapshot, and each settled base by itself", () => {
    const [pending] = planBases(situation([snapshot()], [base()])).discarded;
    expect(pending?.finding).to.include({ kind: 'base', id: 'vm-1', name: 'web' });
    const [kept] = planBases(situation([], [base(metadata)])).kept;
    expect(kept).to.deep.equal({
      kind: 'base',
      id: 'vdi-1',
      name: 'root',
      why: 'increments build on it: saveset s1',
    });
  });
});
