import { expect } from 'chai';
import { type BackupEvent } from '../../../src/contract/index.js';
import { type OpenedSubject } from '../backup-source-conformance.js';
import { RecordingSink } from '../support/recording-sink.js';
import { errorOf, eventsOf } from '../support/run-operation.js';

export function describeCancelling(current: () => OpenedSubject): void {
  describe('cancelling a backup', () => {
    it('by a signal that is aborted already starts nothing', async () => {
      const { source, subject, request } = current();
      const sink = new RecordingSink();
      const error = await errorOf(
        source.backup(request(subject.runningMachine, { signal: AbortSignal.abort() }), sink),
      );
      expect(error.code).to.equal('CANCELLED');
      expect(sink.descriptors).to.deep.equal([]);
    });

    it('by the signal errors with CANCELLED once everything is cleaned up', async () => {
      const { source, subject, request } = current();
      const abort = new AbortController();
      const sink = new RecordingSink({
        turnsPerWrite: 2,
        onChunk: () => {
          abort.abort();
        },
      });
      const seen: BackupEvent[] = [];
      const error = await errorOf(source.backup(request(subject.runningMachine, { signal: abort.signal }), sink), seen);
      expect(error.code, error.message).to.equal('CANCELLED');
      expect(seen.some(({ type }) => type === 'completed')).to.equal(false);
      expect(sink.openNow).to.equal(0);
      expect(sink.items.size).to.equal(0);
      expect(await subject.leftovers({ isClosed: false })).to.deep.equal([]);
    });

    it('in every phase leaves nothing', async () => {
      const { source, subject, request } = current();
      const phases = (await eventsOf(source.backup(request(subject.runningMachine), new RecordingSink()))).flatMap(
        (event) => (event.type === 'phase-entered' ? [event.phase] : []),
      );
      for (const phase of phases.filter((word) => word !== 'release')) {
        const abort = new AbortController();
        const operation = source.backup(request(subject.runningMachine, { signal: abort.signal }), new RecordingSink());
        const outcome = await new Promise<string>((resolve) => {
          operation.subscribe({
            next: (event) => {
              if (event.type === 'phase-entered' && event.phase === phase) abort.abort();
            },
            error: (error: { code: string }) => {
              resolve(error.code);
            },
            complete: () => {
              resolve('completed');
            },
          });
        });
        expect(outcome, phase).to.equal('CANCELLED');
        expect(await subject.leftovers({ isClosed: false }), phase).to.deep.equal([]);
      }
    });

    it('by unsubscribing cleans up too, and close waits for it', async () => {
      const { source, subject, request } = current();
      let heard = 0;
      await new Promise<void>((resolve) => {
        const sink = new RecordingSink({
          turnsPerWrite: 2,
          onChunk: () => {
            subscription.unsubscribe();
            resolve();
          },
        });
        const subscription = source.backup(request(subject.runningMachine), sink).subscribe({
          next: () => {
            heard += subscription.closed ? 1 : 0;
          },
        });
      });
      await source.close();
      expect(await subject.leftovers({ isClosed: true })).to.deep.equal([]);
      expect(heard).to.equal(0);
    });
  });
}
