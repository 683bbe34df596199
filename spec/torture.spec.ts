import { expect } from 'chai';
import { type PartName, PARTS, runPart } from '../torture/parts.js';

describe('torture, a small sample', function () {
  this.timeout(60_000);

  for (const name of Object.keys(PARTS) as PartName[]) {
    it(`finds nothing wrong: ${PARTS[name].title}`, async () => {
      const { counts, problems } = await runPart(name, { seed: 3, isShort: true });
      expect(problems).to.deep.equal([]);
      expect(Math.max(...Object.values(counts))).to.be.greaterThan(0);
    });
  }
});
