import { expect } from 'chai';
import fc from 'fast-check';
import { NbdReplies } from '../../src/xapi/nbd-replies.js';
import { TransportError } from '../../src/xapi/transport-error.js';
import { failureOf } from '../support/failure-of.js';

const reply = (handle: number, data: Buffer, error = 0): Buffer => {
  const header = Buffer.alloc(16);
  header.writeUInt32BE(0x67446698);
  header.writeUInt32BE(error, 4);
  header.writeBigUInt64BE(BigInt(handle), 8);
  return Buffer.concat([header, error === 0 ? data : Buffer.alloc(0)]);
};

/** The text in pieces, cut at these places. */
const cut = (bytes: Buffer, places: readonly number[]): readonly Buffer[] => {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((first, second) => first - second);
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
};

describe('NbdReplies', () => {
  it('gives every request its own data, in any order and in any pieces', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        fc.array(fc.nat(), { minLength: 8, maxLength: 8 }),
        async (answers, places, order) => {
          const replies = new NbdReplies();
          const asked = answers.map((data) => {
            const into = Buffer.alloc(data.length);
            return { data: Buffer.from(data), into, ...replies.expect(into) };
          });
          const shuffled = asked
            .map((one, index) => ({ one, at: order[index]! }))
            .sort((first, second) => first.at - second.at)
            .map(({ one }) => one);
          const wire = Buffer.concat(shuffled.map(({ handle, data }) => reply(handle, data)));
          for (const piece of cut(wire, places)) replies.push(piece);
          await Promise.all(asked.map(({ answered }) => answered));
          for (const { into, data } of asked) expect(into.equals(data)).to.equal(true);
          expect(replies.waiting).to.equal(0);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('ends on noise, and never writes beyond the buffer of a request', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 200 }), fc.boolean(), (noise, startsWell) => {
        const replies = new NbdReplies();
        const whole = Buffer.alloc(64, 0xee);
        const { handle, answered } = replies.expect(whole.subarray(16, 32));
        answered.catch(() => undefined);
        const wire = startsWell
          ? Buffer.concat([reply(handle, Buffer.alloc(0)), Buffer.from(noise)])
          : Buffer.from(noise);
        try {
          replies.push(wire);
        } catch (error) {
          expect(error).to.be.instanceOf(TransportError).and.to.include({ kind: 'protocol' });
        }
        expect(whole.subarray(0, 16).equals(Buffer.alloc(16, 0xee))).to.equal(true);
        expect(whole.subarray(32).equals(Buffer.alloc(32, 0xee))).to.equal(true);
        replies.fail(new TypeError('over'));
      }),
    );
  });

  it('refuses a second answer to one request, and a handle beyond all numbers', () => {
    const replies = new NbdReplies();
    const { handle } = replies.expect(Buffer.alloc(4));
    replies.push(reply(handle, Buffer.from('abcd')));
    expect(() => {
      replies.push(reply(handle, Buffer.from('abcd')));
    }).to.throw(TransportError);
    const wild = reply(1, Buffer.alloc(0));
    wild.fill(0xff, 8, 16);
    expect(() => {
      new NbdReplies().push(wild);
    }).to.throw(TransportError);
  });

  it('names the error of a reply', async () => {
    for (const [error, kind, systemCode] of [
      [5, 'interrupted', 'EIO'],
      [22, 'protocol', 'EINVAL'],
      [1, 'protocol', 'EPERM'],
      [4711, 'interrupted', 'error 4711'],
    ] as const) {
      const replies = new NbdReplies();
      const { handle, answered } = replies.expect(Buffer.alloc(4));
      replies.push(reply(handle, Buffer.alloc(0), error));
      expect(await failureOf(answered)).to.include({ kind, systemCode });
    }
  });
});
