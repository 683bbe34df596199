import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { expect } from 'chai';
import { type SavesetItem } from '../../src/contract/index.js';
import { FormatError } from '../../src/format/format-error.js';
import { type FlowCheck } from '../../src/transfer/checked-stream.js';
import { verifiedItemStream } from '../../src/transfer/verified-item.js';
import { ManualClock } from '../support/manual-clock.js';

const bytes = Buffer.alloc(300_000, 'data ');
const expected: SavesetItem = {
  name: 'one.bin',
  kind: 'k',
  mediaType: 'm',
  bytes: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('hex'),
};
const content: FlowCheck = { push: () => undefined, end: () => undefined };
const inPieces = (all: Buffer): Readable =>
  Readable.from(
    Array.from({ length: Math.ceil(all.length / 10_000) }, (_, n) => all.subarray(n * 10_000, (n + 1) * 10_000)),
  );

interface Outcome {
  readonly out: Buffer;
  readonly code: unknown;
}

async function outcomeOf(stream: Readable): Promise<Outcome> {
  const parts: Buffer[] = [];
  try {
    for await (const part of stream) parts.push(part as Buffer);
  } catch (error) {
    return { out: Buffer.concat(parts), code: (error as { code?: unknown }).code };
  }
  return { out: Buffer.concat(parts), code: undefined };
}

describe('verifiedItemStream', () => {
  const open = (source: Readable, more: Partial<Parameters<typeof verifiedItemStream>[0]> = {}): Readable =>
    verifiedItemStream({
      item: { stream: source, bytes: bytes.length },
      expected,
      check: content,
      signal: new AbortController().signal,
      idleTimeoutMs: 5000,
      ...more,
    });

  it('passes an item on byte for byte and counts it', async () => {
    let counted = 0;
    const source = inPieces(bytes).pause();
    const onBytes = (more: number): void => {
      counted += more;
    };
    const { out, code } = await outcomeOf(open(source, { onBytes }));
    expect([out.equals(bytes), code, counted, source.destroyed]).to.deep.equal([true, undefined, bytes.length, true]);
  });

  const flipped = Buffer.from(bytes);
  flipped[5]! ^= 1;
  const damages: readonly (readonly [string, Buffer])[] = [
    ['a flipped bit', flipped],
    ['a missing end', bytes.subarray(0, -1)],
    ['more than there was', Buffer.concat([bytes, Buffer.alloc(1)])],
  ];
  for (const [what, stored] of damages) {
    it(`keeps back the end of an item with ${what}`, async () => {
      const { out, code } = await outcomeOf(open(inPieces(stored)));
      expect(code).to.equal('DATA_DAMAGED');
      expect(out.length).to.be.at.most(bytes.length - 64 * 1024);
    });
  }

  it('keeps back the end when the content is wrong', async () => {
    const check: FlowCheck = {
      ...content,
      end: () => {
        throw new FormatError('odd');
      },
    };
    const { out, code } = await outcomeOf(open(inPieces(bytes), { check }));
    expect([code, out.length <= bytes.length - 64 * 1024]).to.deep.equal(['DATA_DAMAGED', true]);
  });

  it('refuses an item of another size before anything flows', async () => {
    const source = inPieces(bytes);
    const { out, code } = await outcomeOf(open(source, { item: { stream: source, bytes: 1 } }));
    expect([code, out.length]).to.deep.equal(['DATA_DAMAGED', 0]);
  });

  it('says that the medium failed, fell silent, or that it was cancelled', async () => {
    const broken = new Readable({ read: () => undefined });
    const failing = outcomeOf(open(broken));
    broken.destroy(Object.assign(new Error('gone'), { code: 'EIO' }));
    expect((await failing).code).to.equal('MEDIUM_FAILED');

    const clock = new ManualClock();
    const silent = outcomeOf(open(new Readable({ read: () => undefined }), { clock }));
    await clock.advance(5000);
    expect((await silent).code).to.equal('MEDIUM_FAILED');

    const stop = new AbortController();
    const cancelled = outcomeOf(open(new Readable({ read: () => undefined }), { signal: stop.signal }));
    stop.abort();
    expect((await cancelled).code).to.equal('CANCELLED');
  });
});
