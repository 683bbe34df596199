import { expect } from 'chai';
import fc from 'fast-check';
import { LentPieces } from '../../src/transfer/lent-pieces.js';

describe('LentPieces', () => {
  it('gives each piece back once, in order, as soon as all that was made of it has left, and never before', () => {
    // A number is how much is made of the next piece; true: the oldest that is on its way leaves.
    const step = fc.oneof(fc.nat({ max: 5 }), fc.constant(true as const));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const lent = new LentPieces();
        const onTheWay: number[] = [];
        const back: number[] = [];
        /** Of each piece: what must have left before it may come back. */
        const ends: number[] = [];
        let made = 0;
        let left = 0;
        const leave = (): void => {
          const bytes = onTheWay.shift() ?? 0;
          left += bytes;
          lent.left(bytes);
        };
        for (const each of steps) {
          // No more than a stream has on its way.
          if (each === true || onTheWay.length > 20) leave();
          if (each === true) continue;
          lent.made(each);
          onTheWay.push(each);
          made += each;
          const piece = ends.push(made) - 1;
          lent.done(Buffer.alloc(0), () => {
            expect(left).to.be.at.least(made === 0 ? 0 : ends[piece]!);
            back.push(piece);
          });
          expect(back).to.deep.equal(ends.flatMap((end, index) => (end <= left ? [index] : [])));
        }
        while (onTheWay.length > 0) leave();
        expect(back).to.deep.equal(ends.map((_end, index) => index));
      }),
    );
  });

  it('keeps none for ever when nothing leaves', () => {
    const lent = new LentPieces();
    const piece = Buffer.alloc(1024 * 1024);
    let backCount = 0;
    for (let count = 0; count < 1000; count += 1) {
      lent.made(1);
      lent.done(piece, () => (backCount += 1));
    }
    lent.left(1000);
    expect(backCount).to.be.within(1, 34);
  });
});
