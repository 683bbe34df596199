import { expect } from 'chai';
import { JsonView } from '../../../src/host/progress/json-view.js';
import { transferSummary } from '../../../src/host/progress/transfer-summary.js';
import { savesetRecord } from '../../contract/support/saveset-record.js';

const MIB = 1024 * 1024;

describe('transferSummary', () => {
  it('tells how much, how long, how fast and how', () => {
    const report = { transferredBytes: 100 * MIB, elapsedMs: 20_000, dataTransport: 'https' };
    expect(transferSummary(report)).to.match(/^100\.0 MiB in .*20.*, 5\.0 MiB\/s, https$/);
  });

  it('leaves out what nobody knows', () => {
    expect(transferSummary({ transferredBytes: 10, elapsedMs: 0 })).to.match(/^10 B in [^,]+$/);
  });

  it('goes into the last JSON event as a number', () => {
    const lines: unknown[] = [];
    const view = new JsonView(
      { source: 'vm/a' },
      (value) => lines.push(value),
      () => undefined,
    );
    const report = { record: savesetRecord(), transferredBytes: 3000, elapsedMs: 2000, dataTransport: 'http' };
    view.onEvent({ type: 'completed', report, atMs: 1 });
    expect(lines).to.deep.equal([{ type: 'completed', report, atMs: 1, bytesPerSecond: 1500, source: 'vm/a' }]);
  });
});
