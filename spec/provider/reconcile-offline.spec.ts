import { expect } from 'chai';
import { planOffline } from '../../src/provider/reconcile-offline.js';
import { type ReconcileSituation } from '../../src/provider/reconcile-plan.js';
import { RUN_MARK_KEY } from '../../src/session/run-marks.js';
import { readRecord, type RefOf } from '../../src/xapi/xapi-records.js';

const NOW_MS = Date.parse('2026-11-22T12:00:00Z');

const mark = (fields: object = {}): Record<string, string> => ({
  [RUN_MARK_KEY]: JSON.stringify({
    run: 'r1',
    host: 'me',
    sinceMs: 5,
    aliveUntilMs: NOW_MS - 1,
    role: 'offline',
    machine: 'vm-1',
    ...fields,
  }),
});

const verdictOf = (fields: object, more: Partial<ReconcileSituation> = {}): string => {
  const record = readRecord('VM', {
    uuid: 'vm-1',
    name_label: 'web',
    power_state: 'Halted',
    other_config: mark(),
    ...fields,
  });
  const { starts, marks, kept } = planOffline({
    machines: new Map([['OpaqueRef:vm' as RefOf<'VM'>, record]]),
    disks: new Map(),
    hostId: 'me',
    nowMs: NOW_MS,
    stateOf: () => 'unknown',
    ...more,
  });
  expect(starts.length + marks.length + kept.length).to.be.lessThan(2);
  if (starts.length > 0) return `start since ${starts[0]?.sinceMs}`;
  return marks.length > 0 ? 'unmark' : kept.length > 0 ? 'keep' : 'ignore';
};

describe('planOffline', () => {
  const cases: readonly (readonly [
    what: string,
    fields: object,
    verdict: string,
    more?: Partial<ReconcileSituation>,
  ])[] = [
    ['a machine that is down', {}, 'start since 5'],
    ['one that runs', { power_state: 'Running' }, 'unmark'],
    ['one whose run lives here', {}, 'keep', { stateOf: () => 'running' }],
    ['one whose run may live elsewhere', { other_config: mark({ aliveUntilMs: NOW_MS + 1 }) }, 'keep'],
    ["one of another host's run", { other_config: mark({ host: 'other' }) }, 'keep'],
    ['a copy of it', { uuid: 'vm-2' }, 'keep'],
    ['a template made of it', { is_a_template: true }, 'keep'],
    [
      'one that the pool still shuts down',
      { power_state: 'Running', current_operations: { t: 'clean_shutdown' } },
      'keep',
    ],
    ['one marked by an earlier version', { other_config: mark({ machine: undefined }) }, 'keep'],
    ['a snapshot of it', { is_a_snapshot: true }, 'ignore'],
    ['a machine that is being imported', { other_config: mark({ role: 'import' }) }, 'ignore'],
  ];
  for (const [what, fields, verdict, more] of cases) {
    it(`has ${what}: ${verdict}`, () => {
      expect(verdictOf(fields, more)).to.equal(verdict);
    });
  }
});
