import { expect } from 'chai';
import { rivalOf, type RivalSituation } from '../../src/backup/rival-run.js';
import { LEASE_MS, RUN_MARK_KEY } from '../../src/session/run-marks.js';
import { runProcess } from '../../src/session/run-process.js';
import { readRecord, type VmRecord } from '../../src/xapi/xapi-records.js';

const NOW_MS = Date.parse('2026-11-22T12:00:00Z');
const DAY_MS = 24 * 60 * 60_000;

const snapshot = (run: string, mark: object | undefined, fields: object = {}): VmRecord =>
  readRecord('VM', {
    uuid: `uuid-${run}`,
    name_label: `[xen-backup ${run}] web`,
    is_a_snapshot: true,
    snapshot_time: '20261122T11:59:30Z',
    other_config:
      mark === undefined
        ? {}
        : {
            [RUN_MARK_KEY]: JSON.stringify({
              run,
              host: 'them',
              sinceMs: 0,
              aliveUntilMs: NOW_MS + LEASE_MS,
              role: 'snapshot',
              ...mark,
            }),
          },
    ...fields,
  });

const rival = (snapshots: readonly VmRecord[], more: Partial<RivalSituation> = {}): string | undefined =>
  rivalOf({ runId: 'me', snapshots, nowMs: NOW_MS, stateOf: () => 'unknown', ...more })?.runId;

describe('rivalOf', () => {
  it('finds a run that lives, of whichever host', () => {
    expect(
      rivalOf({ runId: 'me', snapshots: [snapshot('a', {})], nowMs: NOW_MS, stateOf: () => 'unknown' }),
    ).to.deep.equal({
      runId: 'a',
      hostId: 'them',
    });
  });

  it('finds none in what people have made, in its own, in bases and in inherited marks', () => {
    const byHand = readRecord('VM', { name_label: 'before the update', is_a_snapshot: true });
    expect(rival([byHand, snapshot('me', {}), snapshot('a', { role: 'base' }), snapshot('b', { run: 'c' })])).to.equal(
      undefined,
    );
  });

  it('takes a run for dead when its lease is over, and when it came from a clock that was days ahead', () => {
    expect(rival([snapshot('a', { aliveUntilMs: NOW_MS })])).to.equal(undefined);
    expect(rival([snapshot('a', { aliveUntilMs: NOW_MS + 2 * DAY_MS })])).to.equal(undefined);
  });

  it('asks the process before the lease, when it is one of this machine', () => {
    const process = runProcess();
    expect(rival([snapshot('a', { process, aliveUntilMs: NOW_MS - DAY_MS })])).to.equal('a');
    const [machine = '', pid = '', start = ''] = process.split(':');
    expect(rival([snapshot('a', { process: `${machine}:${pid}:${start}9` })])).to.equal(undefined);
    expect(rival([snapshot('a', { process: `elsewhere:${pid}:${start}` })])).to.equal('a');
  });

  it('knows better of the runs of this process', () => {
    expect(rival([snapshot('a', {})], { stateOf: () => 'ended' })).to.equal(undefined);
    expect(rival([snapshot('a', { aliveUntilMs: 0 })], { stateOf: () => 'running' })).to.equal('a');
  });

  it('gives a snapshot that is not marked yet a minute', () => {
    expect(rival([snapshot('a', undefined)])).to.equal('a');
    expect(rival([snapshot('a', undefined)], { nowMs: NOW_MS + 60_000 })).to.equal(undefined);
  });

  it('lets the older snapshot go on, and only that', () => {
    const older = snapshot('a', {}, { snapshot_time: '20261122T11:59:29Z' });
    const newer = snapshot('b', {});
    const twin = snapshot('c', {});
    expect(rival([older, newer], { runId: 'a', own: older })).to.equal(undefined);
    expect(rival([older, newer], { runId: 'b', own: newer })).to.equal('a');
    expect([
      rival([newer, twin], { runId: 'b', own: newer }),
      rival([newer, twin], { runId: 'c', own: twin }),
    ]).to.deep.equal([undefined, 'b']);
  });
});
