import { expect } from 'chai';
import fc from 'fast-check';
import {
  noBackupReason,
  parseMachinePattern,
  type SelectableMachine,
  selectMachines,
} from '../../src/browser/selection.js';
import { type BackupError } from '../../src/contract/index.js';

let made = 0;

function machine(name: string, fields: Partial<SelectableMachine> = {}): SelectableMachine {
  made += 1;
  return {
    uuid: `00000000-0000-4000-8000-${String(made).padStart(12, '0')}`,
    name_label: name,
    is_a_template: false,
    is_default_template: false,
    is_a_snapshot: false,
    is_control_domain: false,
    power_state: 'Halted',
    tags: [],
    ...fields,
  };
}

const POOL = [
  machine('web-2', { power_state: 'Running', tags: ['nightly', 'front'] }),
  machine('web-1', { power_state: 'Running', tags: ['nightly'] }),
  machine('db (old)', { tags: ['weekly'] }),
  machine('lab', { tags: ['nightly', 'xo:no-bak=scratch'], power_state: 'Suspended' }),
  machine('web-gold', { is_a_template: true }),
  machine('web-product', { is_a_template: true, is_default_template: true }),
  machine('web-snap', { is_a_snapshot: true, is_a_template: true, power_state: 'Running' }),
  machine('Control domain', { is_control_domain: true, power_state: 'Running' }),
  machine('[xen-backup run-1] web-1'),
];

const names = (pattern: string, kind: 'vm' | 'template' = 'vm', pool = POOL): readonly string[] | undefined =>
  selectMachines(pattern, kind, pool)?.map(({ machine: { name_label: name } }) => name);

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return (error as BackupError).code;
  }
  return 'none';
};

describe('selection', () => {
  describe('selectMachines', () => {
    const cases: readonly (readonly [
      pattern: string,
      kind: 'vm' | 'template',
      names: readonly string[] | undefined,
    ])[] = [
      ['vm/web-*', 'vm', ['web-1', 'web-2']],
      ['web-?', 'vm', ['web-1', 'web-2']],
      ['vm/*', 'vm', ['db (old)', 'lab', 'web-1', 'web-2']],
      ['vm/db (*)', 'vm', ['db (old)']],
      ['template/*', 'template', ['web-gold']],
      ['tag:nightly', 'vm', ['lab', 'web-1', 'web-2']],
      ['tag:*ly', 'vm', ['db (old)', 'lab', 'web-1', 'web-2']],
      ['state:running', 'vm', ['web-1', 'web-2']],
      ['state:Suspended', 'vm', ['lab']],
      ['vm/web-1', 'vm', undefined],
      ['template/*', 'vm', undefined],
      ['vm/*', 'template', undefined],
      ['host/*', 'vm', undefined],
      ['pool/*', 'vm', undefined],
    ];
    for (const [pattern, kind, expected] of cases) {
      it(`${pattern} among kind ${kind} is ${expected?.join(', ') ?? 'no pattern'}`, () => {
        expect(names(pattern, kind)).to.deep.equal(expected);
      });
    }

    it('names the reason of a machine that asks to be left out', () => {
      const skipped = selectMachines('tag:nightly', 'vm', POOL)?.filter(({ skipReason }) => skipReason !== undefined);
      expect(skipped?.map(({ machine: { name_label: name }, skipReason }) => [name, skipReason])).to.deep.equal([
        ['lab', 'it carries the tag xo:no-bak=scratch'],
      ]);
    });

    it('takes a name that looks like a pattern for the name when there is such a machine', () => {
      const odd = [...POOL, machine('web-*'), machine('tag:odd')];
      expect(names('vm/web-*', 'vm', odd)).to.equal(undefined);
      expect(names('tag:odd', 'vm', odd)).to.equal(undefined);
    });

    it('refuses what fits nothing and what makes no sense', () => {
      expect(codeOf(() => names('vm/none-*'))).to.equal('OBJECT_NOT_FOUND');
      expect(codeOf(() => names('state:paused'))).to.equal('OBJECT_NOT_FOUND');
      expect(codeOf(() => names('state:odd'))).to.equal('REQUEST_INVALID');
      expect(codeOf(() => names('tag:'))).to.equal('REQUEST_INVALID');
    });

    it('takes every character but * and ? as it is', () => {
      fc.assert(
        fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (text) => {
          const name = `${text.replace(/[*?/]/g, '').trim()}x`;
          expect(names(`vm/${name}*`, 'vm', [machine(`${name}-1`), machine('other')])).to.deep.equal([`${name}-1`]);
        }),
      );
    });
  });

  describe('parseMachinePattern', () => {
    it('leaves plain names alone', () => {
      for (const name of ['web', 'vm/web', 'template/gold', 'host/*', 'pool/metadata']) {
        expect(parseMachinePattern(name), name).to.equal(undefined);
      }
    });
  });

  describe('noBackupReason', () => {
    it('knows the tag with and without a reason, and no other', () => {
      expect(noBackupReason(['xo:no-bak'])).to.contain('xo:no-bak');
      expect(noBackupReason(['xo:no-bak=because'])).to.contain('because');
      expect(noBackupReason(['xo:no-bakery', 'no-bak'])).to.equal(undefined);
    });
  });
});
