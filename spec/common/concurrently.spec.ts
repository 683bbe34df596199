import { expect } from 'chai';
import { setImmediate as turn } from 'node:timers/promises';
import { concurrently } from '../../src/common/concurrently.js';

describe('concurrently', () => {
  it('keeps to the limit, and gives the results in order', async () => {
    let running = 0;
    let most = 0;
    const results = await concurrently([3, 1, 2, 5, 4], 2, async (turns) => {
      running += 1;
      most = Math.max(most, running);
      for (let left = turns; left > 0; left -= 1) await turn();
      running -= 1;
      return turns * 10;
    });
    expect(results).to.deep.equal([30, 10, 20, 50, 40]);
    expect(most).to.equal(2);
  });

  it('begins nothing more once it is over', async () => {
    const begun: number[] = [];
    const work = (item: number): Promise<number> => Promise.resolve(begun.push(item));
    await concurrently([1, 2, 3, 4], 1, work, () => begun.length === 2);
    expect(begun).to.deep.equal([1, 2]);
  });

  it('has nothing to do with nothing', async () => {
    expect(await concurrently([], 3, () => Promise.resolve(1))).to.deep.equal([]);
  });
});
