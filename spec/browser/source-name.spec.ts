import { expect } from 'chai';
import { parseMachineName, resolveMachine, type NameableMachine } from '../../src/browser/source-name.js';
import { isBackupError } from '../../src/contract/index.js';

const uuidOf = (digit: number): string => `00000000-0000-4000-8000-${String(digit).padStart(12, '0')}`;

function machine(digit: number, name: string, fields: Partial<NameableMachine> = {}): NameableMachine {
  return {
    uuid: uuidOf(digit),
    name_label: name,
    is_a_template: false,
    is_default_template: false,
    is_a_snapshot: false,
    is_control_domain: false,
    ...fields,
  };
}

const pool = [
  machine(1, 'web'),
  machine(2, 'twin'),
  machine(3, 'twin'),
  machine(4, 'golden', { is_a_template: true }),
  machine(5, 'Debian 12', { is_a_template: true, is_default_template: true }),
  machine(6, 'web', { is_a_template: true, is_a_snapshot: true }),
  machine(7, 'Control domain on host: a', { is_control_domain: true }),
  machine(8, 'a/b'),
  machine(9, 'both'),
  machine(10, 'both', { is_a_template: true }),
  machine(11, uuidOf(1)),
];

function refusal(typed: string): { code: string; text: string; candidates: unknown } {
  try {
    resolveMachine(typed, pool);
  } catch (error) {
    if (isBackupError(error)) {
      return {
        code: error.code,
        text: `${error.message} ${error.hint ?? ''}`,
        candidates: error.context.candidates,
      };
    }
    throw error;
  }
  return { code: 'none', text: '', candidates: undefined };
}

describe('source-name', () => {
  describe('parseMachineName', () => {
    it('knows the kinds and leaves any other slash in the name', () => {
      expect(parseMachineName('vm/web')).to.deep.equal({ kind: 'vm', text: 'web' });
      expect(parseMachineName('template/a/b')).to.deep.equal({ kind: 'template', text: 'a/b' });
      expect(parseMachineName(' a/b ')).to.deep.equal({ kind: undefined, text: 'a/b' });
    });

    for (const [typed, code] of [
      ['', 'REQUEST_INVALID'],
      ['vm/', 'REQUEST_INVALID'],
      ['pool/metadata', 'OBJECT_NOT_SUPPORTED'],
      ['host/a', 'OBJECT_NOT_SUPPORTED'],
    ] as const) {
      it(`refuses "${typed}" with ${code}`, () => {
        expect(refusal(typed).code).to.equal(code);
      });
    }
  });

  describe('resolveMachine', () => {
    for (const [typed, expected] of [
      ['vm/web', 1],
      ['web', 1],
      [`vm/${uuidOf(1)}`, 1],
      [uuidOf(2).toUpperCase(), 2],
      ['template/golden', 4],
      ['golden', 4],
      ['a/b', 8],
      ['vm/a/b', 8],
      ['vm/both', 9],
      ['template/both', 10],
    ] as const) {
      it(`takes "${typed}" for machine ${expected}`, () => {
        expect(resolveMachine(typed, pool).uuid).to.equal(uuidOf(expected));
      });
    }

    for (const [typed, code] of [
      ['vm/nobody', 'OBJECT_NOT_FOUND'],
      ['WEB', 'OBJECT_NOT_FOUND'],
      ['vm/golden', 'OBJECT_NOT_FOUND'],
      ['template/web', 'OBJECT_NOT_FOUND'],
      ['Control domain on host: a', 'OBJECT_NOT_FOUND'],
      ['vm/Debian 12', 'OBJECT_NOT_FOUND'],
      ['template/Debian 12', 'OBJECT_NOT_SUPPORTED'],
      ['Debian 12', 'OBJECT_NOT_SUPPORTED'],
      [`vm/${uuidOf(5)}`, 'OBJECT_NOT_SUPPORTED'],
      [`vm/${uuidOf(6)}`, 'OBJECT_NOT_SUPPORTED'],
      [uuidOf(7), 'OBJECT_NOT_SUPPORTED'],
      ['twin', 'OBJECT_AMBIGUOUS'],
      ['both', 'OBJECT_AMBIGUOUS'],
    ] as const) {
      it(`refuses "${typed}" with ${code}`, () => {
        expect(refusal(typed).code).to.equal(code);
      });
    }

    it('names the candidates by UUID, in the message and in the context', () => {
      const { text, candidates } = refusal('vm/twin');
      expect(text)
        .to.include(`vm/${uuidOf(2)}`)
        .and.to.include(`vm/${uuidOf(3)}`);
      expect(candidates).to.deep.equal([uuidOf(2), uuidOf(3)]);
    });

    it('lists no more than ten candidates in the message, all in the context', () => {
      const many = Array.from({ length: 12 }, (_, index) => machine(index, 'same'));
      expect(() => resolveMachine('same', many)).to.throw(/fits 12 objects: .* and 2 more/);
    });

    it('says that the name belongs to the other kind', () => {
      expect(refusal('template/web').text).to.include(`vm/${uuidOf(1)}`);
    });
  });
});
