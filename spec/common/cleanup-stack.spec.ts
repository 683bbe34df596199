import { expect } from 'chai';
import { CleanupStack } from '../../src/common/cleanup-stack.js';

const never = new Promise<Error>(() => undefined);

describe('CleanupStack', () => {
  let released: string[];
  let stack: CleanupStack;

  beforeEach(() => {
    released = [];
    stack = new CleanupStack();
  });

  const add = (what: string, release: () => unknown = () => undefined): (() => void) =>
    stack.add(what, () => {
      released.push(what);
      return release();
    });

  it('releases newest first, once, and without what was forgotten', async () => {
    add('first');
    const forget = add('second');
    add('third');
    forget();
    expect(await stack.run()).to.deep.equal([]);
    expect(await stack.run()).to.deep.equal([]);
    expect(released).to.deep.equal(['third', 'first']);
  });

  it('goes on after a release that fails, and tells of it', async () => {
    const cause = new TypeError('no');
    add('first');
    add('second', () => Promise.reject(cause));
    expect(await stack.run()).to.deep.equal([{ what: 'second', cause }]);
    expect(released).to.deep.equal(['second', 'first']);
  });

  it('is over with its limit, begins nothing more then, and tells of all that is left', async () => {
    let end = (): void => undefined;
    const late = new RangeError('too late');
    const limit = new Promise<Error>((resolve) => {
      end = () => {
        resolve(late);
      };
    });
    add('first');
    add('hangs', () => {
      end();
      return never;
    });
    add('quick');
    const failures = await stack.run(limit);
    expect(failures).to.deep.equal([
      { what: 'hangs', cause: late },
      { what: 'first', cause: late },
    ]);
    expect(released).to.deep.equal(['quick', 'hangs']);
  });

  it('has all the time that it needs when no limit is reached', async () => {
    add('first');
    expect(await stack.run(never)).to.deep.equal([]);
    expect(released).to.deep.equal(['first']);
  });
});
