import { expect } from 'chai';
import { KIB, MIB } from '../../../src/common/byte-size.js';
import { type PoolDefinition, type RunningPool } from '../../../src/simulator/index.js';
import { NbdPeer, type NbdInfo } from '../support/nbd-peer.js';
import { named, startWithClient, type RpcClient } from '../support/rpc-client.js';

const POOL: PoolDefinition = {
  name: 'nbd',
  hosts: [{ name: 'host-a' }, { name: 'host-b' }],
  networks: [
    { name: 'LAN', bridge: 'xenbr0', device: 'eth0', isManagement: true },
    {
      name: 'Backup',
      bridge: 'xenbr1',
      device: 'eth1',
      hostAddresses: { 'host-a': '127.0.7.1', 'host-b': '127.0.7.2' },
      purpose: ['insecure_nbd'],
    },
  ],
  storage: [
    { name: 'NFS', type: 'nfs', isDefault: true },
    { name: 'Local', type: 'ext', host: 'host-b' },
  ],
  vms: [
    { name: 'halted', disks: [{ name: 'data', sizeMiB: 4, content: { kind: 'random' }, isChangeTracked: true }] },
    { name: 'running', powerState: 'Running', disks: [{ name: 'live', sizeMiB: 1 }] },
    { name: 'local', disks: [{ name: 'local', sizeMiB: 1, storage: 'Local' }] },
  ],
};
const ACK = '00000001';
const UNSUPPORTED = '80000001';
const POLICY = '80000002';
const INVALID = '80000003';
const TLS_REQUIRED = '80000005';

const reply = (option: number, code: string): string =>
  `0003e889045565a9${option.toString(16).padStart(8, '0')}${code}00000000`;

describe('NbdServer', () => {
  let pool: RunningPool;
  let client: RpcClient;
  let disk: string;
  let info: NbdInfo;
  const peers: NbdPeer[] = [];

  beforeEach(async () => {
    ({ pool, client } = await startWithClient({ poolFile: POOL }));
    pool.timings.nbdDetachMs = 0;
    disk = await named(client, 'VDI', 'data');
    info = await infoOf(disk);
  });

  afterEach(async () => {
    for (const peer of peers.splice(0)) peer.close();
    await pool.close();
  });

  const infoOf = async (vdi: string): Promise<NbdInfo> => {
    const [first] = await client.call<NbdInfo[]>('VDI.get_nbd_info', vdi);
    return first!;
  };
  const kept = async (peer: Promise<NbdPeer>): Promise<NbdPeer> => {
    peers.push(await peer);
    return peer;
  };
  const opened = (): Promise<NbdPeer> => kept(NbdPeer.opened(info));
  const greeted = (): Promise<NbdPeer> => kept(NbdPeer.greeted(info));
  const connected = (): Promise<NbdPeer> => kept(NbdPeer.connect(info));
  const secure = async (): Promise<void> => {
    const network = await named(client, 'network', 'Backup');
    await client.call('network.remove_purpose', network, 'insecure_nbd');
    await client.call('network.add_purpose', network, 'nbd');
  };
  const bytesOf = (offset: number, length: number): Buffer => pool.pool.contents.get(disk)!.read(offset, length);
  /** Resolves when only the machine's own VBD of the disk is left. */
  const untilDetached = async (): Promise<void> => {
    for (let token = ''; (await client.call<string[]>('VDI.get_VBDs', disk)).length > 1;) {
      ({ token } = await client.call<{ token: string }>('event.from', [`VDI/${disk}`], token, 5));
    }
  };

  describe('the greeting in clear', () => {
    it('answers each option as a host does', async () => {
      const peer = await connected();
      expect((await peer.take(18)).toString('hex')).to.equal('4e42444d4147494349484156454f50540001');
      peer.send('00000001');
      for (const [option, code] of [
        [3, POLICY],
        [8, UNSUPPORTED],
        [7, UNSUPPORTED],
        [6, UNSUPPORTED],
        [10, UNSUPPORTED],
        [99, UNSUPPORTED],
        [5, POLICY],
        [2, ACK],
      ] as const) {
        expect(await peer.option(option, 'some data')).to.equal(reply(option, code));
      }
      expect(await peer.ended()).to.have.lengthOf(0);
    });

    it('tells the size of an export, also to clients that know nothing of fixed newstyle or want no zeroes', async () => {
      for (const flags of ['00000000', '00000001', '00000003']) {
        const peer = await connected();
        await peer.take(18);
        peer.send(flags);
        const answer = await peer.export(`${info.exportname}&x=1`);
        expect(answer.toString('hex')).to.equal(`${(4 * MIB).toString(16).padStart(16, '0')}0003${'00'.repeat(124)}`);
      }
    });

    it('ends without a word for a name it does not serve', async () => {
      const [path = '', session = ''] = info.exportname.split('?');
      const fixed = await client.call<string>('VDI.snapshot', disk, {});
      await client.call('VDI.data_destroy', fixed);
      const live = await infoOf(await named(client, 'VDI', 'live'));
      for (const name of [
        '',
        path,
        info.exportname.slice(1),
        `${path}?session_id=OpaqueRef:bogus`,
        `/00000000-0000-0000-0000-000000000000?${session}`,
        `/${disk}?${session}`,
        `/${await client.call<string>('VDI.get_uuid', fixed)}?${session}`,
        live.exportname,
      ]) {
        const peer = await greeted();
        expect(await peer.export(name), name).to.have.lengthOf(0);
      }
      expect(await client.call<string[]>('VDI.get_VBDs', disk)).to.have.lengthOf(1);
    });

    it('serves a disk only where its storage is plugged', async () => {
      const local = await infoOf(await named(client, 'VDI', 'local'));
      expect(local.address).to.equal('127.0.7.2');
      const elsewhere = await kept(NbdPeer.greeted({ ...local, address: '127.0.7.1' }));
      expect(await elsewhere.export(local.exportname)).to.have.lengthOf(0);
      expect(await (await kept(NbdPeer.greeted(local))).export(local.exportname)).to.have.lengthOf(134);
    });
  });

  describe('the greeting with TLS', () => {
    beforeEach(secure);

    it('takes nothing before it is secured', async () => {
      const peer = await greeted();
      for (const option of [3, 8, 7, 6, 10, 99]) {
        expect(await peer.option(option)).to.equal(reply(option, TLS_REQUIRED));
      }
      expect(await peer.export(info.exportname)).to.have.lengthOf(0);
    });

    it('goes on as in clear with the certificate that XAPI told of', async () => {
      const peer = await greeted();
      await peer.startTls(info);
      expect(peer.tlsVersion).to.equal('TLSv1.2');
      expect(await peer.option(3)).to.equal(reply(3, POLICY));
      expect(await peer.option(7)).to.equal(reply(7, UNSUPPORTED));
      expect(await peer.option(5)).to.equal(reply(5, INVALID));
      expect(await peer.export(info.exportname)).to.have.lengthOf(134);
      expect((await peer.read(0, 3 * MIB)).equals(bytesOf(0, 3 * MIB))).to.equal(true);
    });

    it('ends for a client that does not know fixed newstyle', async () => {
      const peer = await connected();
      await peer.take(18);
      peer.send('00000000');
      expect(await peer.ended()).to.have.lengthOf(0);
    });
  });

  describe('reading', () => {
    it('gives the bytes of the disk, in the order of the requests', async () => {
      const peer = await opened();
      const reads = [0, 512, 700 * KIB, 3 * MIB].map((offset) => ({
        offset,
        length: offset === 512 ? 1024 : 600 * KIB,
      }));
      for (const [handle, { offset, length }] of reads.entries()) peer.request(0, offset, length, handle);
      for (const [handle, { offset, length }] of reads.entries()) {
        const answer = await peer.take(16 + length);
        expect(answer.toString('hex', 0, 16)).to.equal(`6744669800000000${handle.toString(16).padStart(16, '0')}`);
        expect(answer.subarray(16).equals(bytesOf(offset, length))).to.equal(true);
      }
      expect(await peer.read(0, 0)).to.have.lengthOf(0);
      peer.request(2, 0, 0);
      expect(await peer.ended()).to.have.lengthOf(0);
    });

    for (const [what, command, offset, length, flags, error] of [
      ['a misaligned offset', 0, 7, 512, 0, 22],
      ['a misaligned length', 0, 0, 513, 0, 22],
      ['flags', 0, 0, 512, 1, 22],
      ['WRITE', 1, 0, 512, 0, 1],
      ['FLUSH', 3, 0, 0, 0, 22],
      ['TRIM', 4, 0, 4096, 0, 22],
      ['CACHE', 5, 0, 4096, 0, 22],
      ['WRITE_ZEROES', 6, 0, 4096, 0, 22],
      ['BLOCK_STATUS', 7, 0, 4096, 0, 22],
      ['an unknown command', 77, 0, 0, 0, 22],
      ['an end past the disk’s', 0, 4 * MIB - 512, 1024, 0, 0],
      ['a start past the disk’s', 0, 4 * MIB, 512, 0, 0],
    ] as const) {
      it(`ends after its answer to ${what}`, async () => {
        const peer = await opened();
        peer.request(0, 0, 512);
        peer.request(command, offset, length, 9, flags);
        peer.request(0, 0, 512);
        await peer.take(528);
        expect((await peer.ended()).toString('hex')).to.equal(
          `67446698${error.toString(16).padStart(8, '0')}0000000000000009`,
        );
      });
    }

    it('ends without an answer to what is no request', async () => {
      const peer = await opened();
      peer.send(Buffer.alloc(28));
      expect(await peer.ended()).to.have.lengthOf(0);
    });
  });

  describe('attaching', () => {
    it('does not keep a pool from closing', async () => {
      await secure();
      const peer = await greeted();
      await peer.startTls(info);
      await peer.export(info.exportname);
      await pool.close();
      expect(await peer.ended()).to.have.lengthOf(0);
    });

    it('holds the disk read-only in the control domain until some time after the end', async () => {
      pool.timings.nbdDetachMs = 30;
      const peer = await opened();
      const vbds = await client.call<string[]>('VDI.get_VBDs', disk);
      const vbd = await client.call<Record<string, unknown>>('VBD.get_record', vbds.at(-1));
      expect(vbd).to.include({ mode: 'RO', currently_attached: true, type: 'Disk', unpluggable: true });
      expect(await client.call('VM.get_is_control_domain', vbd.VM)).to.equal(true);
      expect(await client.error('VDI.destroy', disk)).to.deep.equal(['VDI_IN_USE', disk, 'destroy']);
      peer.close();
      await untilDetached();
      await client.call('VDI.destroy', disk);
    });

    it('goes on after the session has ended', async () => {
      const peer = await opened();
      await client.call('session.logout');
      expect((await peer.read(512, 512)).equals(bytesOf(512, 512))).to.equal(true);
    });

    it('serves 16 clients at a host and closes further ones, until one goes', async () => {
      const first = await opened();
      for (let count = 2; count <= 16; count += 1) await greeted();
      expect(await (await connected()).ended()).to.have.lengthOf(0);
      expect(await (await kept(NbdPeer.connect({ ...info, address: '127.0.7.2' }))).take(18)).to.have.lengthOf(18);
      first.request(2, 0, 0);
      await first.ended();
      await untilDetached();
      expect(await (await connected()).take(18)).to.have.lengthOf(18);
    });

    it('ends with the host, also when it is secured', async () => {
      await secure();
      const peer = await greeted();
      await peer.startTls(info);
      await peer.export(info.exportname);
      await pool.perform('killHost', { host: 'host-a' });
      expect(await peer.ended()).to.have.lengthOf(0);
    });

    it('lets go when the client goes, whatever it still waits for', async () => {
      const peer = await opened();
      for (let handle = 0; handle < 1000; handle += 1) peer.request(0, 0, 4 * MIB, handle);
      peer.close();
      await untilDetached();
    });
  });

  describe('without a network for it', () => {
    it('closes every connection without a word', async () => {
      await client.call('network.remove_purpose', await named(client, 'network', 'Backup'), 'insecure_nbd');
      expect(await (await connected()).ended()).to.have.lengthOf(0);
    });

    it('does so at an address on another network', async () => {
      const peer = await kept(NbdPeer.connect({ address: '127.0.0.1', port: info.port }));
      expect(await peer.ended()).to.have.lengthOf(0);
    });
  });

  describe('faults', () => {
    it('refuse the connection that they are told to', async () => {
      pool.addFault({ match: { nbd: 'connection' }, occurrence: 2, action: { refuse: true } });
      await greeted();
      expect(await (await connected()).ended()).to.have.lengthOf(0);
      expect(await (await connected()).take(18)).to.have.lengthOf(18);
    });

    it('cut after so many bytes of the disk, of a connection or of its nth read', async () => {
      pool.addFault({ match: { nbd: 'connection' }, occurrence: 1, action: { cutAtByte: 100_000 } });
      const first = await opened();
      await first.read(0, 65_536);
      first.request(0, 0, 65_536);
      expect(await first.ended()).to.have.lengthOf(16 + 100_000 - 65_536);
      pool.addFault({ match: { nbd: 'read' }, occurrence: 2, action: { cutAtByte: 0 } });
      const second = await opened();
      await second.read(0, 512);
      second.request(0, 0, 512);
      expect(await second.ended()).to.have.lengthOf(0);
    });

    it('flip a bit', async () => {
      pool.addFault({ match: { nbd: 'read' }, occurrence: 1, action: { corruptAtByte: 600 } });
      const peer = await opened();
      const expected = bytesOf(0, MIB);
      expected[600]! ^= 1;
      expect((await peer.read(0, MIB)).equals(expected)).to.equal(true);
      expect((await peer.read(0, MIB)).equals(bytesOf(0, MIB))).to.equal(true);
    });

    it('stall until the client gives up', async () => {
      pool.addFault({ match: { nbd: 'read' }, occurrence: 1, action: { stall: true } });
      const peer = await opened();
      peer.request(0, 0, 512);
      peer.close();
      await untilDetached();
    });

    it('slow a read down', async () => {
      pool.addFault({ match: { nbd: 'read' }, occurrence: 1, action: { bytesPerSecond: 20 * MIB } });
      pool.addFault({ match: { nbd: 'read' }, occurrence: 1, action: { delayMs: 20 } });
      const peer = await opened();
      const startMs = performance.now();
      await peer.read(0, MIB);
      await peer.read(0, 512);
      expect(performance.now() - startMs).to.be.at.least(60);
    });

    it('show a certificate of somebody else', async () => {
      await secure();
      pool.addFault({ match: { nbd: 'connection' }, action: { wrongCertificate: true } });
      const peer = await greeted();
      const outcome = await peer.startTls(info).then(
        () => 'taken',
        () => 'refused',
      );
      expect(outcome).to.equal('refused');
    });
  });

  it('is as far away as it is told to be, and answers what comes together together', async () => {
    pool.timings.nbdLatencyMs = 100;
    const peer = await opened();
    const startMs = performance.now();
    for (let handle = 0; handle < 10; handle += 1) peer.request(0, 0, 512, handle);
    await peer.take(10 * 528);
    expect(performance.now() - startMs).to.be.within(99, 600);
  });
});
