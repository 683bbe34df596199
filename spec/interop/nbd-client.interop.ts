import { expect } from 'chai';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect as connectTcp, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/common/clock.js';
import { extentsOf, wholeDisk } from '../../src/transfer/disk-extents.js';
import { NbdDiskReader, type NbdDiskReaderOptions } from '../../src/transfer/nbd-disk-reader.js';
import { NbdEndpoint } from '../../src/xapi/nbd-endpoint.js';
import { failureOf } from '../support/failure-of.js';
import { runWell } from './programs.js';

const MIB = 1024 * 1024;
const BLOCK = 64 * 1024;
const SIZE_BYTES = 256 * MIB;

/** What nbdkit's pattern plugin gives: each 8 bytes hold their own offset. */
function isPattern(offsetBytes: number, data: Buffer): boolean {
  for (let at = 0; at < data.length; at += 8) {
    const high = data.readUInt32BE(at);
    const low = data.readUInt32BE(at + 4);
    if (high * 2 ** 32 + low !== offsetBytes + at) return false;
  }
  return true;
}

describe('interop: our NBD client reads from nbdkit', () => {
  const servers: ChildProcess[] = [];
  let folder: string;
  let certificatePem: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nbd-interop-'));
    certificatePem = await makeCertificate('server');
  });
  afterEach(async () => {
    await Promise.all(servers.splice(0).map(end));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** A self-signed certificate in a folder that nbdkit takes; the server vouches for itself. */
  const makeCertificate = async (name: string): Promise<string> => {
    const [key, cert] = [`${name}-key.pem`, `${name}-cert.pem`].map((file) => join(folder, file));
    const subject = ['-subj', '/CN=host.test', '-addext', 'subjectAltName=DNS:host.test,IP:127.0.0.1'];
    const files = ['-keyout', key!, '-out', cert!];
    await runWell('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...files]);
    const pem = await readFile(cert!, 'utf8');
    await writeFile(join(folder, 'ca-cert.pem'), pem);
    return pem;
  };
  const end = async (server: ChildProcess): Promise<void> => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill('SIGKILL');
    await ended;
  };
  const start = async (port: number, args: readonly string[]): Promise<ChildProcess> => {
    const tls = ['--tls=require', `--tls-certificates=${folder}`];
    const listen = ['--foreground', '--exit-with-parent', '--ipaddr=127.0.0.1', `--port=${port}`];
    const server = spawn('nbdkit', [...listen, ...tls, '--readonly', ...args], { stdio: 'ignore' });
    servers.push(server);
    await untilListening(port);
    return server;
  };
  const startPattern = (port: number, delay: readonly string[] = []): Promise<ChildProcess> => {
    const filters = delay.length === 0 ? [] : ['--filter=delay'];
    return start(port, [...filters, 'pattern', `size=${SIZE_BYTES}`, ...delay]);
  };
  const endpoint = (port: number, pem = certificatePem): NbdEndpoint =>
    new NbdEndpoint({
      host: '127.0.0.1',
      port,
      exportName: '/disk?session_id=OpaqueRef:x',
      certificatePem: pem,
      subject: 'host.test',
      isPlainAllowed: false,
    });
  const reader = (endpoints: readonly NbdEndpoint[], parts: Partial<NbdDiskReaderOptions> = {}): NbdDiskReader =>
    new NbdDiskReader({
      endpoints: () => Promise.resolve(endpoints),
      sizeBytes: SIZE_BYTES,
      extents: wholeDisk(SIZE_BYTES),
      limits: { connectTimeoutMs: 5000, handshakeTimeoutMs: 10_000, idleTimeoutMs: 10_000 },
      clock: systemClock,
      signal: new AbortController().signal,
      ...parts,
    });

  it('reads a whole disk over TLS', async () => {
    const port = await freePort();
    await startPattern(port);
    const whole = reader([endpoint(port)]);
    let next = 0;
    for await (const { offsetBytes, data, release } of whole) {
      expect(offsetBytes).to.equal(next);
      next += data.length;
      expect(isPattern(offsetBytes, data), `data at ${offsetBytes}`).to.equal(true);
      release?.();
    }
    expect(next).to.equal(SIZE_BYTES);
  });

  it('refuses a server whose certificate is not the one that was told', async () => {
    const port = await freePort();
    await startPattern(port);
    const other = await makeCertificate('other');
    await writeFile(join(folder, 'ca-cert.pem'), certificatePem);
    const pieces = reader([endpoint(port, other)])[Symbol.asyncIterator]();
    expect(await failureOf(pieces.next())).to.include({ kind: 'untrusted' });
  });

  it('has a thousand scattered changes under way at once over 10 ms', async () => {
    const port = await freePort();
    await startPattern(port, ['rdelay=10ms']);
    const extents = extentsOf(
      Array.from({ length: 1000 }, (_, index) => ({ offsetBytes: index * 4 * BLOCK, lengthBytes: BLOCK })),
    );
    const changes = reader([endpoint(port)], { extents });
    const fromMs = Date.now();
    for await (const { offsetBytes, data } of changes) {
      expect(isPattern(offsetBytes, data.subarray(0, 512)), `data at ${offsetBytes}`).to.equal(true);
    }
    expect(changes.counts.bytes).to.equal(1000 * BLOCK);
    // nbdkit has 16 reads under way a connection: 625 ms. One after the other it would be ten seconds.
    expect(Date.now() - fromMs).to.be.lessThan(3000);
  });

  it('goes on at the next extent when the server is killed in the middle', async () => {
    const [port, otherPort] = [await freePort(), await freePort()];
    const server = await startPattern(port);
    await startPattern(otherPort);
    const whole = reader([endpoint(port), endpoint(otherPort)], {
      window: { bytes: 8 * MIB, requests: 32 },
      maxConnections: 1,
    });
    let next = 0;
    for await (const { offsetBytes, data } of whole) {
      expect(offsetBytes).to.equal(next);
      next += data.length;
      expect(isPattern(offsetBytes, data), `data at ${offsetBytes}`).to.equal(true);
      if (offsetBytes === SIZE_BYTES / 2) await end(server);
    }
    expect(next).to.equal(SIZE_BYTES);
    expect(whole.counts.losses).to.equal(1);
    // What was on its way is asked for again, and nothing else.
    expect(whole.counts.requestedBytes).to.be.within(SIZE_BYTES, SIZE_BYTES + 8 * MIB);
  });

  it('goes on when the same server is back after a moment', async () => {
    const port = await freePort();
    const server = await startPattern(port);
    const whole = reader([endpoint(port)], { window: { bytes: 8 * MIB, requests: 32 }, maxConnections: 1 });
    let next = 0;
    for await (const { offsetBytes, data } of whole) {
      next += data.length;
      expect(isPattern(offsetBytes, data), `data at ${offsetBytes}`).to.equal(true);
      if (offsetBytes !== SIZE_BYTES / 4) continue;
      await end(server);
      await startPattern(port);
    }
    expect(next).to.equal(SIZE_BYTES);
    expect(whole.counts.losses).to.equal(1);
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function untilListening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const isThere = await new Promise<boolean>((resolve) => {
      const socket = connectTcp(port, '127.0.0.1');
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => {
        resolve(false);
      });
    });
    if (isThere) return;
    await systemClock.sleep(25);
  }
  throw new TypeError(`nothing listens on port ${port}`);
}
