import { expect } from 'chai';
import {
  BackupError,
  type BackupSource,
  type BackupSourceProvider,
  type SavesetRecord,
} from '../../src/contract/index.js';
import { adviceFinding, adviceFindings } from '../../src/host/advised-backups.js';
import { failureOf } from '../support/failure-of.js';

const NOW_MS = Date.parse('2026-11-22T12:00:00Z');
const advice = { source: 'pool/metadata', everyHours: 24, why: 'It matters.' };
const wanted = { path: 'pool/metadata', kind: 'pool', id: 'p1', displayName: 'Pool metadata' };

const saved = (hoursAgo: number, id = 'p1', providerId = 'x'): SavesetRecord =>
  ({
    providerId,
    createdAt: new Date(NOW_MS - hoursAgo * 3_600_000).toISOString(),
    source: { kind: 'pool', id },
  }) as SavesetRecord;

describe('advised backups', () => {
  describe('adviceFinding (S28)', () => {
    it('warns of what was never saved, or of another pool only', () => {
      for (const records of [[], [saved(1, 'p2')]]) {
        const line = adviceFinding(advice, wanted, records, NOW_MS);
        expect(line).to.include({ status: 'warning', message: '"Pool metadata" has never been saved here.' });
        expect(line.hint).to.contain('xen-backup backup pool/metadata').and.contain('It matters.');
      }
    });

    it('counts from the newest saveset', () => {
      expect(adviceFinding(advice, wanted, [saved(100), saved(23)], NOW_MS).status).to.equal('ok');
      const late = adviceFinding(advice, wanted, [saved(24), saved(100)], NOW_MS);
      expect(late).to.include({ status: 'warning', message: '"Pool metadata" was saved 24 hours ago.' });
      for (const [hours, age] of [
        [0, 'less than an hour'],
        [1, 'an hour'],
      ] as const) {
        const { message } = adviceFinding(advice, wanted, [saved(hours)], NOW_MS);
        expect(message).to.equal(`"Pool metadata" was saved ${age} ago.`);
      }
    });
  });

  describe('adviceFindings', () => {
    const provider = (advisedBackups?: readonly (typeof advice)[]): BackupSourceProvider =>
      ({ id: 'x', capabilities: { advisedBackups } }) as unknown as BackupSourceProvider;
    const source = (resolve: () => Promise<unknown>): BackupSource => ({ resolve }) as unknown as BackupSource;
    const { signal } = new AbortController();
    const look = (resolve: () => Promise<unknown>, records: readonly SavesetRecord[] = []): Promise<unknown> =>
      adviceFindings(provider([advice]), source(resolve), records, NOW_MS, signal);

    it('looks at savesets of this provider only', async () => {
      const lines = await look(() => Promise.resolve([wanted]), [saved(1, 'p1', 'other')]);
      expect(lines).to.have.nested.property('[0].status', 'warning');
    });

    it('says nothing without advice, and nothing of what the source does not have', async () => {
      expect(
        await adviceFindings(
          provider(),
          source(() => Promise.reject(new Error('asked'))),
          [],
          NOW_MS,
          signal,
        ),
      ).to.deep.equal([]);
      expect(await look(() => Promise.reject(new BackupError('OBJECT_NOT_FOUND', 'No.')))).to.deep.equal([]);
      expect(await failureOf(look(() => Promise.reject(new BackupError('SOURCE_BUSY', 'No.'))))).to.include({
        code: 'SOURCE_BUSY',
      });
    });
  });
});
