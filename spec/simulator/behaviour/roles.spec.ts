import { expect } from 'chai';
import { type RunningPool } from '../../../src/simulator/index.js';
import { exchangeRaw } from '../support/raw-exchange.js';
import { RpcClient, startWithClient } from '../support/rpc-client.js';

const DEFINITION = {
  name: 'pool',
  hosts: [{ name: 'one' }],
  networks: [{ name: 'net0', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [{ name: 'sr', type: 'nfs' as const, isDefault: true }],
  vms: [{ name: 'vm', disks: [{ name: 'd0', sizeMiB: 1 }], vtpm: { contents: 'c2VjcmV0' } }],
  users: [
    { name: 'anna', password: 'a', role: 'vm-power-admin' as const },
    { name: 'vera', password: 'v', role: 'vm-admin' as const },
    { name: 'rolf', password: 'r', role: 'read-only' as const },
    { name: 'nobody', password: 'n' },
  ],
};

describe('roles', () => {
  let pool: RunningPool;
  let root: RpcClient;
  let vm: string;

  before(async () => {
    ({ pool, client: root } = await startWithClient({ poolFile: DEFINITION }));
    [vm = ''] = await root.call<string[]>('VM.get_by_name_label', 'vm');
  });
  after(() => pool.close());

  async function clientOf(name: string, password: string): Promise<RpcClient> {
    const client = new RpcClient(pool.httpUrl);
    client.session = (await client.raw('session.login_with_password', [name, password])) as string;
    return client;
  }

  it('let a session do what its role may and no more', async () => {
    const vera = await clientOf('vera', 'v');
    expect(await vera.call('VM.get_name_label', vm)).to.equal('vm');
    await vera.call('VM.set_name_description', vm, 'by vera');
    expect(await vera.error('VM.snapshot', vm, 'x')).to.deep.equal([
      'RBAC_PERMISSION_DENIED',
      'vm.snapshot',
      'No permission in user session. (Roles with this permission: pool-admin, pool-operator, vm-power-admin)',
    ]);
    const anna = await clientOf('anna', 'a');
    expect(await anna.call('VM.snapshot', vm, 'x')).to.match(/^OpaqueRef:/);
    const rolf = await clientOf('rolf', 'r');
    expect((await rolf.error('VM.set_name_description', vm, ''))[1]).to.equal('vm.set_name_description');
  });

  it('fail an asynchronous call in its task', async () => {
    const rolf = await clientOf('rolf', 'r');
    const end = await rolf.taskEnd(await rolf.call<string>('Async.VM.snapshot', vm, 'x'));
    expect((end.error_info as string[]).slice(0, 2)).to.deep.equal(['RBAC_PERMISSION_DENIED', 'vm.snapshot']);
  });

  it('shut handlers with a 403 and fail the task', async () => {
    const rolf = await clientOf('rolf', 'r');
    const task = await rolf.call<string>('task.create', 'export', '');
    const path = `/export?session_id=${rolf.session}&task_id=${task}&ref=${vm}`;
    const { text } = await exchangeRaw(pool.httpUrl, `GET ${path} HTTP/1.1\r\n\r\n`);
    expect(text).to.match(/^HTTP\/1.1 403 Forbidden/);
    const record = await rolf.call<{ status: string; error_info: string[] }>('task.get_record', task);
    expect([record.status, ...record.error_info.slice(0, 2)]).to.deep.equal([
      'failure',
      'RBAC_PERMISSION_DENIED',
      'http/get_export',
    ]);
    const vera = await clientOf('vera', 'v');
    const dump = `GET /pool/xmldbdump?session_id=${vera.session} HTTP/1.1\r\n\r\n`;
    expect((await exchangeRaw(pool.httpUrl, dump)).text).to.match(/^HTTP\/1.1 403/);
  });

  it('show in the session, and keep out who has none', async () => {
    const vera = await clientOf('vera', 'v');
    const record = await root.call<Record<string, unknown>>('session.get_record', vera.session);
    expect(record).to.deep.include({ is_local_superuser: false, auth_user_name: 'vera' });
    const [role] = await root.call<string[]>('subject.get_roles', record.subject);
    expect(await root.call('role.get_name_label', role)).to.equal('vm-admin');
    const login = async (name: string, password: string): Promise<string> =>
      clientOf(name, password).then(
        () => 'in',
        (error: unknown) => String(error),
      );
    expect(await login('nobody', 'n')).to.include('SESSION_AUTHORIZATION_FAILED');
    expect(await login('vera', 'wrong')).to.include('SESSION_AUTHENTICATION_FAILED');
  });

  it('leave the secret of a TPM to the local superuser', async () => {
    const [vtpm] = await root.call<string[]>('VM.get_VTPMs', vm);
    expect(await root.call('VTPM.get_contents', vtpm)).to.equal('c2VjcmV0');
    const anna = await clientOf('anna', 'a');
    expect((await anna.error('VTPM.get_contents', vtpm))[0]).to.equal('RBAC_PERMISSION_DENIED');
    expect(await root.call<Record<string, unknown>>('VTPM.get_record', vtpm)).to.not.have.property('contents');
  });
});
