import { expect } from 'chai';
import { z } from 'zod';
import { schemaMistakes } from '../../src/common/schema-mistakes.js';

describe('schemaMistakes', () => {
  const schema = z.strictObject({
    kind: z.enum(['offline', 'crash']).optional(),
    http: z.literal('https').optional(),
    count: z.int().min(1).max(9).optional(),
    name: z.string().min(1).optional(),
    lists: z.array(z.string().refine((text) => text === 'x', 'must be x')).optional(),
    either: z.union([z.strictObject({ a: z.string() }), z.strictObject({ b: z.string() })]).optional(),
  });
  const said = (value: unknown): string => {
    const { error } = schema.safeParse(value);
    return error === undefined ? '' : schemaMistakes(error);
  };

  it('says in words what is wrong, where, and what would be right, and never the value', () => {
    expect(said({ kind: 'secret' })).to.equal('kind must be one of offline, crash');
    expect(said({ http: 'secret' })).to.equal('http must be https');
    expect(said({ count: 'secret' })).to.equal('count must be a number');
    expect(said({ count: 1.5 })).to.equal('count must be a whole number');
    expect(said({ count: 0 })).to.equal('count must be 1 or more');
    expect(said({ count: 10 })).to.equal('count must be 9 or less');
    expect(said({ name: '' })).to.equal('name must have 1 or more');
    expect(said({ lists: ['x', 'secret'] })).to.equal('lists.1 must be x');
    expect(said({ either: { c: 'secret' } })).to.equal('either has none of the forms that it may have');
    expect(said('secret')).to.equal('it must be an object');
  });

  it('names unknown keys, and puts several mistakes on one line', () => {
    expect(said({ bogus: 1 })).to.equal('"bogus" is not known');
    expect(said({ bogus: 1, more: 2, http: 'x' })).to.equal('http must be https; "bogus", "more" are not known');
  });
});
