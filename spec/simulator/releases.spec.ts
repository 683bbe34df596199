import { expect } from 'chai';
import { type RunningPool } from '../../src/simulator/index.js';
import { setOf, textOf } from '../../src/simulator/wire/wire-value.js';
import { type RpcClient, startWithClient } from './support/rpc-client.js';

type Errors = readonly string[];
/** What a call answers at each release: a code, or `no error`. */
type Row = readonly [what: string, codes: Readonly<Record<Release, string>>, ask: (world: World) => Promise<Errors>];
type Release = (typeof RELEASES)[number];

interface World {
  readonly pool: RunningPool;
  readonly client: RpcClient;
  /** Halted, with a disk. */
  readonly vm: string;
  readonly vdi: string;
  readonly network: string;
}

const RELEASES = ['7.1', '8.0', '8.2', '8.3'] as const;
const UNKNOWN = 'MESSAGE_METHOD_UNKNOWN';
const COUNT = 'MESSAGE_PARAMETER_COUNT_MISMATCH';

function codes(...ofReleases: readonly [string, string, string, string]): Readonly<Record<Release, string>> {
  return Object.fromEntries(RELEASES.map((release, index) => [release, ofReleases[index]])) as Record<Release, string>;
}

/** The table of facts 11, as far as a call shows it. */
const ROWS: readonly Row[] = [
  [
    'changed block tracking, since 7.3',
    codes(UNKNOWN, 'no error', 'no error', 'no error'),
    ({ client, vdi }) => client.error('VDI.enable_cbt', vdi),
  ],
  [
    'disks over NBD, since 7.3',
    codes(UNKNOWN, 'no error', 'no error', 'no error'),
    ({ client, vdi }) => client.error('VDI.get_nbd_info', vdi),
  ],
  [
    'purposes of networks, since 7.3',
    codes(UNKNOWN, 'no error', 'no error', 'no error'),
    ({ client, network }) => client.error('network.add_purpose', network, 'nbd'),
  ],
  [
    'quiesced snapshots, gone with 8.1',
    codes('VM_BAD_POWER_STATE', 'VM_BAD_POWER_STATE', 'MESSAGE_REMOVED', 'MESSAGE_REMOVED'),
    ({ client, vm }) => client.error('VM.snapshot_with_quiesce', vm, 'x'),
  ],
  [
    'disks that a snapshot leaves out, since 21.4; a parameter too many before',
    codes(COUNT, COUNT, COUNT, 'no error'),
    ({ client, vm, vdi }) => client.error('VM.snapshot', vm, 'x', [vdi]),
  ],
  [
    'certificates, since 8.2',
    codes(UNKNOWN, UNKNOWN, 'no error', 'no error'),
    ({ client }) => client.error('Certificate.get_all_records'),
  ],
  [
    'https alone, since 22.27',
    codes(UNKNOWN, UNKNOWN, UNKNOWN, 'no error'),
    async ({ client }) => client.error('pool.set_https_only', (await client.call<string[]>('pool.get_all'))[0], false),
  ],
  [
    'virtual TPMs, since 22.26',
    codes(UNKNOWN, UNKNOWN, UNKNOWN, 'no error'),
    ({ client, vm }) => client.error('VTPM.create', vm, false),
  ],
  [
    "the firmware's variables, since 8.0",
    codes(UNKNOWN, 'no error', 'no error', 'no error'),
    ({ client, vm }) => client.error('VM.set_NVRAM', vm, {}),
  ],
];

describe('releases', () => {
  for (const release of RELEASES) {
    describe(release, () => {
      let world: World;

      before(async () => {
        const { pool, client } = await startWithClient({ release });
        const [vm = ''] = await client.call<string[]>('VM.get_by_name_label', 'twin');
        const [vbd = ''] = setOf(pool.pool.store.get('VM', vm), 'VBDs');
        const vdi = textOf(pool.pool.store.get('VBD', vbd), 'VDI');
        const [network = ''] = pool.pool.store.all('network').map(([ref]) => ref);
        world = { pool, client, vm, vdi, network };
      });
      after(() => world.pool.close());

      it('has the messages of its time, and answers what it does not have as it did', async () => {
        const seen: Record<string, string | undefined> = {};
        for (const [what, , ask] of ROWS) [seen[what]] = await ask(world);
        expect(seen).to.deep.equal(Object.fromEntries(ROWS.map(([what, expected]) => [what, expected[release]])));
      });

      it('has the fields of its time', async () => {
        const { client, vm, vdi, network } = world;
        const has = async (cls: string, ref: string, field: string): Promise<boolean> =>
          field in (await client.call<object>(`${cls}.get_record`, ref));
        const [host = ''] = await client.call<string[]>('host.get_all');
        expect({
          cbt: await has('VDI', vdi, 'cbt_enabled'),
          purpose: await has('network', network, 'purpose'),
          domainType: await has('VM', vm, 'domain_type'),
          nvram: await has('VM', vm, 'NVRAM'),
          certificates: await has('host', host, 'certificates'),
          httpsOnly: await has('host', host, 'https_only'),
        }).to.deep.equal({
          cbt: release !== '7.1',
          purpose: release !== '7.1',
          domainType: release !== '7.1',
          nvram: release !== '7.1',
          certificates: release === '8.2' || release === '8.3',
          httpsOnly: release === '8.3',
        });
      });

      it('writes the checksums of its time into archives', async () => {
        const { client, pool, vm } = world;
        const answer = await fetch(`${pool.httpUrl}/export?session_id=${client.session}&ref=${vm}`);
        const archive = Buffer.from(await answer.arrayBuffer()).toString('latin1');
        const isOld = release === '7.1' || release === '8.0';
        expect([archive.includes('/00000000.checksum'), archive.includes('/00000000.xxhash')]).to.deep.equal([
          isOld,
          !isOld,
        ]);
      });
    });
  }
});
