import { expect } from 'chai';
import { type RunningPool } from '../../src/simulator/index.js';
import { type Json, named, type RpcClient, startWithClient } from './support/rpc-client.js';

const RELEASES = ['7.1', '7.2', '7.6', '8.0', '8.1', '8.2', '8.3', '9.0'] as const;
const UNKNOWN = 'MESSAGE_METHOD_UNKNOWN';
const DEFINITION = {
  name: 'pool',
  hosts: [{ name: 'one' }],
  storage: [{ name: 'sr', type: 'nfs' as const, isDefault: true }],
  vms: [{ name: 'vm', disks: [{ name: 'disk', sizeMiB: 1 }] }],
};

/** The rest of facts 11, on the wire, at every release there is. */
describe('differences between releases', () => {
  for (const release of RELEASES) {
    const isSince = (first: (typeof RELEASES)[number]): boolean => RELEASES.indexOf(release) >= RELEASES.indexOf(first);

    describe(release, () => {
      let pool: RunningPool;
      let client: RpcClient;
      let vm: string;
      let disk: string;

      before(async () => {
        ({ pool, client } = await startWithClient({ poolFile: DEFINITION, release }));
        vm = await named(client, 'VM', 'vm');
        disk = await named(client, 'VDI', 'disk');
      });
      after(() => pool.close());

      const get = (path: string): Promise<Response> =>
        fetch(`${pool.httpUrl}${path}&session_id=${client.session}`, { redirect: 'manual' });
      const bytes = async (path: string): Promise<Buffer> => Buffer.from(await (await get(path)).arrayBuffer());

      it('gives JSON errors the form of its time, whatever the request has', async () => {
        const request = { jsonrpc: '2.0', id: 7, method: 'VM.get_record', params: [client.session, 'OpaqueRef:no'] };
        const params = ['VM', 'OpaqueRef:no'];
        expect(await client.post(request)).to.deep.equal(
          isSince('7.6')
            ? { jsonrpc: '2.0', error: { code: 1, message: 'HANDLE_INVALID', data: params }, id: 7 }
            : { result: null, error: ['HANDLE_INVALID', ...params], id: 0 },
        );
        const known = { ...request, method: 'VM.get_name_label', params: [client.session, vm] };
        expect(await client.post(known)).to.deep.equal(
          isSince('7.6') ? { jsonrpc: '2.0', result: 'vm', id: 7 } : { result: 'vm', error: null, id: 0 },
        );
      });

      it('takes text for the id of a JSON request since 7.3', async () => {
        const body = JSON.stringify({ jsonrpc: '2.0', id: 'x', method: 'VM.get_all', params: [client.session] });
        const { status } = await fetch(`${pool.httpUrl}/jsonrpc`, { method: 'POST', body });
        expect(status).to.equal(isSince('7.6') ? 200 : 500);
      });

      it('has the calls of its time', async () => {
        const code = async (method: string, ...params: readonly unknown[]): Promise<string | undefined> =>
          (await client.error(method, ...params))[0];
        expect({
          biosStrings: await code('VM.set_bios_strings', vm, {}),
          domainType: await code('VM.get_domain_type', vm),
          tracking: await code('VDI.disable_cbt', disk),
          quiesced: await code('VM.snapshot_with_quiesce', vm, 'x'),
          certificates: await code('Certificate.get_all'),
          tlsVerification: await code('pool.get_tls_verification_enabled', pool.pool.poolEntry[0]),
          vtpm: await code('VTPM.get_all'),
        }).to.deep.equal({
          biosStrings: isSince('7.6') ? 'no error' : UNKNOWN,
          domainType: isSince('7.6') ? 'no error' : UNKNOWN,
          tracking: isSince('7.6') ? 'no error' : UNKNOWN,
          quiesced: isSince('8.1') ? 'MESSAGE_REMOVED' : 'VM_BAD_POWER_STATE',
          certificates: isSince('8.2') ? 'no error' : UNKNOWN,
          tlsVerification: isSince('8.3') ? 'no error' : UNKNOWN,
          vtpm: isSince('8.3') ? 'no error' : UNKNOWN,
        });
      });

      it('packs archives for the word `true` always, for `gzip` since 8.1', async () => {
        const isPacked = async (word: string): Promise<boolean> =>
          (await bytes(`/export?ref=${vm}&use_compression=${word}`)).readUInt16BE(0) === 0x1f8b;
        expect([await isPacked('true'), await isPacked('gzip')]).to.deep.equal([true, isSince('8.1')]);
      });

      it('gives a disk as a tar since 8.0, as qcow2 never', async () => {
        const status = async (format: string): Promise<number> =>
          (await get(`/export_raw_vdi?vdi=${disk}&format=${format}`)).status;
        expect([await status('tar'), await status('qcow2')]).to.deep.equal([isSince('8.0') ? 200 : 404, 404]);
      });

      it('takes no archive while the pool is upgraded, since 7.3', async () => {
        const body = await bytes(`/export?ref=${vm}`);
        const [ref] = pool.pool.poolEntry;
        await client.call<Json>('pool.add_to_other_config', ref, 'rolling_upgrade_in_progress', 'true');
        try {
          const url = `${pool.httpUrl}/import?session_id=${client.session}`;
          const { status } = await fetch(url, { method: 'PUT', body });
          expect(status).to.equal(isSince('7.6') ? 400 : 200);
        } finally {
          await client.call('pool.remove_from_other_config', ref, 'rolling_upgrade_in_progress');
        }
      });
    });
  }
});
