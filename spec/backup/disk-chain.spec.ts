import { expect } from 'chai';
import { chainsOf, chainTrouble, hasChain } from '../../src/backup/disk-chain.js';

interface Image {
  readonly uuid: string;
  readonly name_label: string;
  readonly managed: boolean;
  readonly sm_config: Readonly<Record<string, string>>;
}

const image = (uuid: string, parent?: string, managed = false): Image => ({
  uuid,
  name_label: `name of ${uuid}`,
  managed,
  sm_config: parent === undefined ? {} : { 'vhd-parent': parent },
});

/** A disk above so many hidden images, each with one child. */
const tower = (depth: number): Image[] =>
  Array.from({ length: depth }, (_, level) =>
    image(`i${level}`, level + 1 < depth ? `i${level + 1}` : undefined, level === 0),
  );

describe('disk-chain', () => {
  describe('chainsOf', () => {
    it('counts a disk on its own as one', () => {
      const [disk] = tower(1);
      expect(chainsOf([disk!], [disk!])).to.deep.equal([{ disk: 'name of i0', depth: 1, pending: 0 }]);
      expect(hasChain(disk!)).to.equal(false);
    });

    it('takes an image with one child for one to be merged, with two for a shared one', () => {
      const images = [
        image('disk', 'base', true),
        image('base', 'root'),
        image('snapshot', 'base', true),
        image('root'),
      ];
      expect(chainsOf([images[0]!], images)).to.deep.equal([{ disk: 'name of disk', depth: 3, pending: 1 }]);
      expect(hasChain(images[0]!)).to.equal(true);
    });

    it('ends when images point at each other or at nothing', () => {
      const round = [image('a', 'b', true), image('b', 'a')];
      expect(chainsOf([round[0]!], round)[0]?.depth).to.equal(2);
      expect(chainsOf([image('x', 'gone', true)], [])[0]?.depth).to.equal(1);
    });
  });

  describe('chainTrouble', () => {
    it('bears one image to be merged, and no more', () => {
      const troubleOf = (depth: number): string | undefined => chainTrouble(chainsOf([tower(depth)[0]!], tower(depth)));
      expect(troubleOf(1)).to.equal(undefined);
      expect(troubleOf(2)).to.equal(undefined);
      expect(troubleOf(3)).to.match(/merge 2 images below the disk "name of i0"/);
      expect(troubleOf(30)).to.match(/chain of 30 images/);
    });
  });
});
