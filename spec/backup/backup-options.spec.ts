import { expect } from 'chai';
import { parseBackupOptions, parseFullOnly } from '../../src/backup/backup-options.js';
import { type WantedLevel } from '../../src/backup/level-plan.js';
import { type Options } from '../../src/contract/index.js';

const request = (options: Options) => ({ source: 'vm/web', savesetId: 's', options });

describe('backup-options', () => {
  const lists: readonly (readonly [given: unknown, read: readonly string[]])[] = [
    ['root', ['root']],
    ['0, data ,', ['0', 'data']],
    [1, ['1']],
    [
      ['0', 2],
      ['0', '2'],
    ],
    [['with, comma'], ['with, comma']],
  ];
  for (const [given, read] of lists) {
    it(`reads disks from ${JSON.stringify(given)}`, () => {
      expect(parseBackupOptions(request({ disks: given })).choice).to.deep.equal({ only: read, except: [] });
      expect(parseBackupOptions(request({ excludeDisks: given })).choice).to.deep.equal({
        only: undefined,
        except: read,
      });
    });
  }

  it('leaves the form to the history, keeps bitmaps and warns of fulls unless told otherwise', () => {
    const { levels, onFullFallback, base } = parseBackupOptions(request({}));
    expect(levels).to.deep.equal({ level: 'full', form: undefined, maxChain: 14 });
    expect({ onFullFallback, base }).to.deep.equal({ onFullFallback: 'warn', base: 'metadata' });
  });

  it('takes an archive for a machine with its memory, unless another form is asked for', () => {
    const formOf = (options: Options, level: WantedLevel = 'auto'): string | undefined =>
      parseBackupOptions({ ...request(options), level }).levels.form;
    expect(formOf({ consistency: 'memory' })).to.equal('xva');
    expect(formOf({ consistency: 'memory', format: 'disks' })).to.equal('disks');
    expect(formOf({ consistency: 'memory' }, 'incremental')).to.equal(undefined);
    expect(formOf({ consistency: 'crash' })).to.equal(undefined);
  });

  for (const options of [{ format: 'qcow2' }, { maxChain: 0 }, { onFullFallback: 'maybe' }, { base: 'none' }]) {
    it(`refuses ${JSON.stringify(options)}`, () => {
      expect(() => parseBackupOptions(request(options)))
        .to.throw()
        .with.property('code', 'REQUEST_INVALID');
    });
  }

  it('offers levels beyond full for machines only', () => {
    expect(parseFullOnly({ ...request({}), level: 'auto' }).levels.level).to.equal('auto');
    for (const level of ['incremental', 'differential', 'copy'] as const) {
      expect(parseBackupOptions({ ...request({}), level }).levels.level).to.equal(level);
      expect(() => parseFullOnly({ ...request({}), level }))
        .to.throw()
        .with.property('code', 'REQUEST_INVALID');
    }
  });
});
