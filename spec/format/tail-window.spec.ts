import { expect } from 'chai';
import fc from 'fast-check';
import { TailWindow } from '../../src/format/tail-window.js';

describe('TailWindow', () => {
  it('knows the last bytes of all that was pushed, whatever the pieces and whatever became of them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 60 }),
        fc.integer({ min: 1, max: 16 }),
        (pieces, minBytes) => {
          const window = new TailWindow(minBytes);
          const all: number[] = [];
          for (const piece of pieces) {
            all.push(...piece);
            window.push(Buffer.from(piece.buffer, piece.byteOffset, piece.length));
            piece.fill(0);
            expect([...window.read()]).to.deep.equal(all.slice(-minBytes));
          }
        },
      ),
    );
  });
});
