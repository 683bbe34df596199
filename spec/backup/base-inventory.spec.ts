import { expect } from 'chai';
import { findBases, type Records } from '../../src/backup/base-inventory.js';
import {
  LEASE_MS,
  PENDING_BASE_LEASE_MS,
  runMark,
  RUN_MARK_KEY,
  type RunIdentity,
  type RunMark,
} from '../../src/session/run-marks.js';

const RUN: RunIdentity = { runId: 's1', hostId: 'me', startedAtMs: 0 };
const HOUR_MS = 60 * 60_000;

const marked = (uuid: string, role: RunMark['role'], nowMs: number, run = RUN): object => ({
  uuid,
  is_a_snapshot: true,
  other_config: {
    [RUN_MARK_KEY]: runMark(run, role, nowMs, role === 'base' ? { object: uuid, keep: 'metadata' } : undefined),
  },
});
const asRecords = <Class extends 'VM' | 'VDI'>(records: Readonly<Record<string, object>>): Records<Class> =>
  new Map(Object.entries(records)) as unknown as Records<Class>;

describe('findBases', () => {
  const disks = asRecords<'VDI'>({ 'ref-d': marked('d', 'base', 0) });

  it('takes a run for alive that still renews the mark of its snapshot, a day and more after it marked the disks', () => {
    const machines = asRecords<'VM'>({
      'ref-s': marked('s', 'snapshot', 30 * HOUR_MS),
      'ref-o': marked('o', 'snapshot', 90 * HOUR_MS, { ...RUN, runId: 's2' }),
      'ref-h': marked('h', 'snapshot', 90 * HOUR_MS, { ...RUN, hostId: 'other' }),
    });
    const [set, ...rest] = findBases(machines, disks);
    expect(rest).to.deep.equal([]);
    expect(set).to.deep.include({ savesetId: 's1', host: 'me', snapshot: undefined, isSettled: false });
    expect(set!.aliveUntilMs).to.be.within(30 * HOUR_MS, 31 * HOUR_MS);
  });

  it('takes a run for dead soon when it ended before all was on the medium, and lets the host have its time afterwards', () => {
    const reading = findBases(asRecords<'VM'>({ 'ref-s': marked('s', 'snapshot', 0) }), disks);
    expect(reading[0]!.aliveUntilMs).to.equal(LEASE_MS);
    const handedOver = {
      ...marked('s', 'snapshot', 0),
      other_config: { [RUN_MARK_KEY]: runMark(RUN, 'base', 0, { object: 's' }) },
    };
    const waiting = findBases(asRecords<'VM'>({ 'ref-s': handedOver }), disks);
    expect(waiting[0]!.aliveUntilMs).to.equal(PENDING_BASE_LEASE_MS);
  });

  it('counts no base that is a copy of one', () => {
    const copied = { ...marked('d', 'base', 0), uuid: 'copy' };
    expect(findBases(new Map(), asRecords<'VDI'>({ 'ref-c': copied }))).to.deep.equal([]);
  });
});
