import { expect } from 'chai';
import { PART_NAMES, PARTS, runPart } from '../torture/parts.js';

describe('torture, a small sample', function () {
  this.timeout(60_000);

  for (const name of PART_NAMES) {
    it(`finds nothing wrong: ${PARTS[name].title}`, async () => {
      const { counts, problems } = await runPart(name, { seed: 3, isShort: true, share: 0 });
      expect(problems).to.deep.equal([]);
      expect(Math.max(...Object.values(counts))).to.be.greaterThan(0);
    });
  }
});
