import { expect } from 'chai';
import { lastValueFrom } from 'rxjs';
import { expectCode } from '../contract/support/run-operation.js';
import { startXenWorld, type XenWorld } from './support/xen-world.js';

/** What a host written in JavaScript may send. */
const untyped = (request: object): never => request as never;

describe('journey: a careless host', () => {
  let world: XenWorld;

  before(async () => {
    world = await startXenWorld();
  });

  after(() => world.close());

  const backup = (
    request: object,
    openItem = (): Promise<never> => Promise.reject(new Error('never')),
  ): Promise<unknown> => lastValueFrom(world.source.backup(untyped(request), { maxOpenItems: 1, openItem }));

  it('is told which part of a backup request is missing, and of a level that is not offered', async () => {
    const { message } = await expectCode(backup({ source: 'vm/db' }), 'REQUEST_INVALID');
    expect(message).to.equal('The request has no savesetId.');
    await expectCode(backup({ savesetId: 'x' }), 'REQUEST_INVALID');
    await expectCode(backup({ source: 'vm/db', savesetId: 'x', level: 'most' }), 'REQUEST_INVALID');
  });

  it('gets no restore without a mode: the machine would be overwritten', async () => {
    const { record } = await world.backup('vm/db');
    const before = JSON.stringify(world.state());
    const media = { record, openItem: () => Promise.reject(new Error('never')) };
    await expectCode(lastValueFrom(world.source.restore(untyped({}), media)), 'REQUEST_INVALID');
    await expectCode(world.source.planRestore(untyped({ mode: 'undo' }), record), 'REQUEST_INVALID');
    expect(JSON.stringify(world.state())).to.equal(before);
  });

  it('whose medium opens no item hears that its medium failed, not the software', async () => {
    const jam = (): Promise<never> => Promise.reject(new Error('tape jam'));
    const { cause } = await expectCode(backup({ source: 'vm/db', savesetId: 'x' }, jam), 'MEDIUM_FAILED');
    expect(cause).to.include({ message: 'tape jam' });
    const { record } = await world.backup('vm/db');
    const restore = world.source.restore({ mode: 'new', name: 'copy' }, { record, openItem: jam });
    await expectCode(lastValueFrom(restore), 'MEDIUM_FAILED');
  });
});
