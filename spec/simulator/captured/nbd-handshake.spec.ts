import { expect } from 'chai';
import { MIB } from '../../../src/common/byte-size.js';
import { createDiskContent } from '../../../src/simulator/content/content-spec.js';
import { textOf } from '../../../src/simulator/wire/wire-value.js';
import { PLAIN_DISK } from '../../support/new-records.js';
import { capturedJson } from './captured-fixtures.js';
import { type CapturedWorld, startCapturedWorld } from './captured-world.js';
import { Comparison } from './comparison.js';
import { surprisesIn } from './known-differences.js';
import { NbdReplay } from './nbd-replay.js';
import { type CapturedNbdStep } from './nbd-steps.js';

const SR = 'OpaqueRef:911a622b-eb7b-53e8-e60a-5877c2dd55ad';
/** The disks of the capture: name, uuid, size; the first and the last one also by reference. */
const PLAIN = ['nbd-a', 'c2b6224e-f12e-491f-8199-c6c244e28b1b', 40 * MIB] as const;
const ODD = ['nbd-odd', '9bc5f050-a3d8-4607-b326-ca39861b72ee', 8 * MIB + 512] as const;
const SECOND = ['nbd-b', '2bb01a51-ee43-4aff-a76f-63521b7c6431', 40 * MIB] as const;
const PLAIN_REF = 'OpaqueRef:74108873-97a7-96f1-8e4f-2ace0ba0df1a';
const SECOND_REF = 'OpaqueRef:8b4c3f44-741b-ed2d-3364-87ee46912d89';
const SNAPSHOT_UUID = '88b02056-f585-4b54-a0c2-ad3f035efaba';
const METADATA_UUID = 'd6552c5b-91b3-4357-add5-cb217d1e5069';

describe('the NBD server', () => {
  it('says what that of a real XAPI 24.19.2 says, byte for byte, in clear and secured', async () => {
    const comparison = new Comparison();
    const world = await startCapturedWorld(comparison);
    try {
      const [plain, odd, second] = [await disk(world, PLAIN), await disk(world, ODD), await disk(world, SECOND)];
      const { client, pool } = world;
      const { store } = pool.pool;
      const metadata = await client.call<string>('VDI.snapshot', odd, {});
      store.patch('VDI', metadata, { type: 'cbt_metadata' });
      const snapshot = await client.call<string>('VDI.snapshot', odd, {});
      for (const [captured, ref] of [
        [PLAIN[1], plain],
        [ODD[1], odd],
        [SECOND[1], second],
        [SNAPSHOT_UUID, snapshot],
        [METADATA_UUID, metadata],
      ] as const) {
        comparison.binding.set(captured, textOf(store.get('VDI', ref), 'uuid'));
      }
      for (const [captured, ref] of [
        [SR, textOf(store.get('VDI', plain), 'SR')],
        [PLAIN_REF, plain],
        [SECOND_REF, second],
      ] as const) {
        comparison.binding.set(captured, ref);
      }
      const networks = store.all('network').filter(([, { managed }]) => managed === true);
      const [domain] = store.all('VM').filter(([, { is_control_domain: isDomain }]) => isDomain === true);
      comparison.binding.set('OpaqueRef:801549f3-f838-21fc-c2b0-18f163e1006b', domain?.[0] ?? '');
      const disks = { plain, second, networks: [networks[0]![0], networks[1]![0]] as const, vm: await machine(world) };
      await new NbdReplay(world, comparison, disks).run(capturedJson('nbd-handshake') as readonly CapturedNbdStep[]);
    } finally {
      await world.pool.close();
    }
    expect(surprisesIn('nbd', comparison)).to.deep.equal([]);
    expect(comparison.steps).to.equal(153);
    expect(comparison.fields).to.be.greaterThan(350);
  }).timeout(30_000);
});

async function disk(
  { client, pool }: CapturedWorld,
  [name, , sizeBytes]: readonly [string, string, number],
): Promise<string> {
  const sr = pool.pool.store.all('SR').find(([, record]) => record.name_label === 'files');
  const vdi = await client.call<string>('VDI.create', {
    name_label: name,
    name_description: '',
    SR: sr?.[0],
    virtual_size: String(sizeBytes),
    ...PLAIN_DISK,
  });
  pool.pool.contents.set(vdi, createDiskContent(sizeBytes, { kind: 'random', seed: 7 }));
  return vdi;
}

/** A halted VM without disks. */
async function machine({ client, pool }: CapturedWorld): Promise<string> {
  const vm = pool.pool.store.all('VM').find(([, record]) => record.name_label === 'vmA');
  const clone = await client.call<string>('VM.clone', vm?.[0], 'bare');
  for (const vbd of await client.call<string[]>('VM.get_VBDs', clone)) await client.call('VBD.destroy', vbd);
  return clone;
}
