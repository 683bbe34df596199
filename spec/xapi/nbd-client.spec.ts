import { expect } from 'chai';
import { inspect } from 'node:util';
import { generate } from 'selfsigned';
import { systemClock } from '../../src/common/clock.js';
import { connectNbd, type NbdConnection } from '../../src/xapi/nbd-client.js';
import { NbdEndpoint, type NbdEndpointFields } from '../../src/xapi/nbd-endpoint.js';
import { type NbdLimits } from '../../src/xapi/nbd-handshake.js';
import { failureOf } from '../support/failure-of.js';
import { type NbdServer, type NbdServerOptions, startNbdServer } from '../support/nbd-server.js';
import { type RawServer, startRawServer } from '../support/raw-server.js';
import { type TestCertificate, testCertificate } from '../support/test-certificate.js';

const SECRET = '/uuid?session_id=OpaqueRef:very-secret';
const KIB = 1024;

describe('connectNbd', () => {
  const disk = Buffer.from(Array.from({ length: 256 * KIB }, (_, index) => (index * 7 + (index >> 9)) & 0xff));
  let certificate: TestCertificate;
  let other: TestCertificate;
  const servers: (NbdServer | RawServer)[] = [];
  const connections: NbdConnection[] = [];

  before(async () => {
    [certificate, other] = await Promise.all([testCertificate(), testCertificate()]);
  });
  afterEach(async () => {
    await Promise.all(connections.splice(0).map((one) => one.close()));
    await Promise.all(servers.splice(0).map((one) => one.close()));
  });

  const start = async (parts: Partial<NbdServerOptions> = {}): Promise<NbdServer> => {
    const server = await startNbdServer({ disk, certificate, ...parts });
    servers.push(server);
    return server;
  };
  const startRaw = async (...args: Parameters<typeof startRawServer>): Promise<RawServer> => {
    const server = await startRawServer(...args);
    servers.push(server);
    return server;
  };
  const endpointTo = (port: number, parts: Partial<NbdEndpointFields> = {}): NbdEndpoint =>
    new NbdEndpoint({
      host: '127.0.0.1',
      port,
      exportName: SECRET,
      certificatePem: certificate.cert,
      subject: 'pool.test',
      isPlainAllowed: false,
      ...parts,
    });
  const connect = async (
    port: number,
    parts: Partial<NbdEndpointFields> = {},
    limits: Partial<NbdLimits> = {},
    signal = new AbortController().signal,
  ): Promise<NbdConnection> => {
    const all = { connectTimeoutMs: 2000, handshakeTimeoutMs: 2000, idleTimeoutMs: 2000, ...limits };
    const connection = await connectNbd(endpointTo(port, parts), all, systemClock, signal);
    connections.push(connection);
    return connection;
  };
  const readAt = async (connection: NbdConnection, offsetBytes: number, bytes: number): Promise<Buffer> => {
    const into = Buffer.alloc(bytes);
    await connection.read(offsetBytes, into);
    return into;
  };

  for (const leavesZeroesOut of [false, true]) {
    for (const isSecure of [true, false]) {
      it(`reads ${isSecure ? 'over TLS' : 'in clear'}, zeroes ${leavesZeroesOut ? 'left out' : 'sent'}`, async () => {
        const { port, exportNames } = await start({
          leavesZeroesOut,
          ...(isSecure ? {} : { certificate: undefined! }),
        });
        const connection = await connect(port, { isPlainAllowed: !isSecure });
        expect(connection).to.include({ sizeBytes: disk.length, failure: undefined });
        expect(connection.roundTripMs).to.be.within(0, 500);
        const [first, last] = await Promise.all([
          readAt(connection, 512, 64 * KIB),
          readAt(connection, disk.length - 512, 512),
        ]);
        expect(first.equals(disk.subarray(512, 512 + 64 * KIB))).to.equal(true);
        expect(last.equals(disk.subarray(disk.length - 512))).to.equal(true);
        expect(exportNames).to.deep.equal([SECRET]);
      });
    }
  }

  it('has many reads under way at once, and each gets its own data', async () => {
    const { port, reads } = await start({ latencyMs: 1 });
    const connection = await connect(port);
    const offsets = Array.from({ length: 200 }, (_, index) => ((index * 37) % 500) * 512);
    const found = await Promise.all(offsets.map((offset) => readAt(connection, offset, 1024)));
    for (const [index, offset] of offsets.entries()) {
      expect(found[index]!.equals(disk.subarray(offset, offset + 1024)), String(index)).to.equal(true);
    }
    expect(reads.length).to.equal(200);
  });

  describe('trust', () => {
    it('takes the very certificate that the pool tells, whatever its names', async () => {
      const { port } = await start();
      expect(await connect(port, { subject: 'other.name' })).to.include({ sizeBytes: disk.length });
    });

    it('takes another certificate when the told one vouches for it and the name is right', async () => {
      const { private: key, cert } = await generate([{ name: 'commonName', value: 'host.test' }], {
        keySize: 2048,
        algorithm: 'sha256',
        ca: { key: certificate.key, cert: certificate.cert },
        extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'host.test' }] }],
      });
      const server = await start({ certificate: { key, cert, fingerprint: '' } });
      expect(await connect(server.port, { subject: 'host.test' })).to.include({ sizeBytes: disk.length });
      expect(await failureOf(connect(server.port, { subject: 'pool.test' }))).to.include({ kind: 'untrusted' });
      expect(await failureOf(connect(server.port, { subject: '127.0.0.1' }))).to.include({ kind: 'untrusted' });
      const stranger = connect(server.port, { subject: 'host.test', certificatePem: other.cert });
      expect(await failureOf(stranger)).to.include({ kind: 'untrusted' });
      expect(server.exportNames.length).to.equal(1);
    });

    it('refuses a server with another certificate, and says nothing of the export', async () => {
      const server = await start({ certificate: other });
      const error = await failureOf(connect(server.port));
      expect(error).to.include({ kind: 'untrusted', fingerprint: other.fingerprint });
      expect(server.exportNames).to.deep.equal([]);
      expect(server.inClear()).not.to.contain('very-secret');
    });

    it('refuses when the pool tells no certificate', async () => {
      const server = await start();
      expect(await failureOf(connect(server.port, { certificatePem: '' }))).to.include({ kind: 'untrusted' });
      expect(server.exportNames).to.deep.equal([]);
    });

    it('refuses a server without TLS unless that is allowed, and says nothing of the export', async () => {
      const server = await startNbdServer({ disk });
      servers.push(server);
      const error = await failureOf(connect(server.port));
      expect(error).to.include({ kind: 'untrusted', systemCode: 'ERR_POLICY' });
      expect(server.inClear()).not.to.contain('very-secret');
    });

    it('uses TLS where it is offered, even when clear is allowed', async () => {
      const server = await start();
      await connect(server.port, { isPlainAllowed: true });
      expect(server.inClear()).not.to.contain('very-secret');
      expect(server.exportNames).to.deep.equal([SECRET]);
    });

    it('takes nothing for an answer over TLS that came before it', async () => {
      const { port } = await startRaw((socket) => {
        const accepted = '0003e889045565a9000000050000000100000000';
        socket.write(greetingWith(1));
        socket.once('data', () => socket.write(Buffer.from(`${accepted}${'00'.repeat(134)}`, 'hex')));
      });
      expect(await failureOf(connect(port, { isPlainAllowed: true }))).to.include({ kind: 'protocol' });
    });

    it('keeps the name of the export to itself', () => {
      const endpoint = endpointTo(1);
      expect(`${inspect(endpoint)}${JSON.stringify(endpoint)}${String(endpoint)}`).not.to.contain('secret');
      expect(endpoint.revealExportName()).to.equal(SECRET);
    });
  });

  describe('a server that fails', () => {
    it('is unreachable when nobody listens', async () => {
      const server = await start();
      await server.close();
      expect(await failureOf(connect(server.port))).to.include({ kind: 'unreachable', systemCode: 'ECONNREFUSED' });
    });

    it('is unreachable when it hangs up without a greeting, as one without a network for NBD does', async () => {
      const { port } = await startRaw((socket) => socket.end());
      expect(await failureOf(connect(port))).to.include({ kind: 'unreachable' });
    });

    it('interrupts when it does not know the session', async () => {
      const { port } = await start({ onExport: () => 'hang-up' });
      const error = await failureOf(connect(port));
      expect(error).to.include({ kind: 'interrupted' });
      expect(error.message).not.to.contain('secret');
    });

    it('is given up in time: no greeting, no opened disk, no data', async () => {
      const mute = await startRaw(() => undefined);
      expect(await failureOf(connect(mute.port, {}, { handshakeTimeoutMs: 60 }))).to.include({ kind: 'timeout' });
      const { port } = await start({ onExport: () => 'silent' });
      expect(await failureOf(connect(port, {}, { handshakeTimeoutMs: 150 }))).to.include({ kind: 'timeout' });
      const silent = await start({ onRead: () => 'silent' });
      const connection = await connect(silent.port, {}, { idleTimeoutMs: 60 });
      expect(await failureOf(readAt(connection, 0, 512))).to.include({ kind: 'timeout' });
      expect(connection.failure).to.include({ kind: 'timeout' });
    });

    it('may be silent for as long as nothing is asked', async () => {
      const { port } = await start();
      const connection = await connect(port, {}, { idleTimeoutMs: 40 });
      await readAt(connection, 0, 512);
      await systemClock.sleep(100);
      expect((await readAt(connection, 512, 512)).equals(disk.subarray(512, 1024))).to.equal(true);
    });

    it('fails one read with an error of its own, not the others', async () => {
      const { port } = await start({ onRead: ({ index }) => (index === 1 ? 5 : index === 2 ? 22 : undefined) });
      const connection = await connect(port);
      const [first, second, third] = await Promise.allSettled([0, 512, 1024].map((at) => readAt(connection, at, 512)));
      expect(first?.status).to.equal('fulfilled');
      expect(second).to.have.property('reason').which.includes({ kind: 'interrupted', systemCode: 'EIO' });
      expect(third).to.have.property('reason').which.includes({ kind: 'protocol', systemCode: 'EINVAL' });
      expect((await readAt(connection, 2048, 512)).equals(disk.subarray(2048, 2560))).to.equal(true);
    });

    it('fails all reads when it hangs up', async () => {
      const { port } = await start({ onRead: ({ index }) => (index === 2 ? 'hang-up' : 'silent') });
      const connection = await connect(port);
      const results = await Promise.allSettled([0, 512, 1024].map((at) => readAt(connection, at, 512)));
      for (const result of results) expect(result).to.have.property('reason').which.includes({ kind: 'interrupted' });
      expect(await failureOf(readAt(connection, 0, 512))).to.include({ kind: 'interrupted' });
    });

    it('is left when it answers what nobody asked for', async () => {
      const { port } = await startRaw((socket) => {
        socket.write(greetingWith(3));
        let bytes = 0;
        socket.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes === 20) socket.write(Buffer.from('0003e889045565a9000000058000000200000000', 'hex'));
          else if (chunk.length === 28) socket.write(Buffer.from('67446698000000000000000000000bad', 'hex'));
          else if (chunk.includes('IHAVEOPT') && bytes > 20) socket.write(Buffer.from('00000000028000000003', 'hex'));
        });
      });
      const connection = await connect(port, { isPlainAllowed: true });
      expect(await failureOf(readAt(connection, 0, 512))).to.include({ kind: 'protocol' });
    });
  });

  it('does not ask beyond the end of the disk', async () => {
    const { port, reads } = await start();
    const connection = await connect(port);
    expect(await failureOf(readAt(connection, disk.length - 512, 1024))).to.include({ kind: 'protocol' });
    expect(reads).to.deep.equal([]);
  });

  it('ends with its signal, at any time', async () => {
    const reason = new Error('enough');
    const { port } = await start({ onRead: () => 'silent' });
    expect(await failureOf(connect(port, {}, {}, AbortSignal.abort(reason)))).to.equal(reason);
    const stopping = new AbortController();
    const connection = await connect(port, {}, {}, stopping.signal);
    const read = readAt(connection, 0, 512);
    stopping.abort(reason);
    expect(await failureOf(read)).to.equal(reason);
    const during = new AbortController();
    const mute = await startRaw(() => {
      during.abort(reason);
    });
    expect(await failureOf(connect(mute.port, {}, {}, during.signal))).to.equal(reason);
    await mute.whenGone();
  });

  describe('close', () => {
    it('takes leave', async () => {
      const server = await start();
      const connection = await connect(server.port);
      await readAt(connection, 0, 512);
      await connection.close();
      await connection.close();
      expect(server.farewells).to.equal(1);
      expect(await failureOf(readAt(connection, 0, 512))).to.include({ kind: 'interrupted' });
    });

    it('fails the reads under way', async () => {
      const { port } = await start({ onRead: () => 'silent' });
      const connection = await connect(port);
      const read = failureOf(readAt(connection, 0, 512));
      await connection.close();
      expect(await read).to.include({ kind: 'interrupted' });
    });
  });
});

function greetingWith(flags: number): Buffer {
  const bytes = Buffer.from('NBDMAGICIHAVEOPT\0\0', 'latin1');
  bytes.writeUInt16BE(flags, 16);
  return bytes;
}
