import { expect } from 'chai';
import fc from 'fast-check';
import { randomFillSync } from 'node:crypto';
import { systemClock } from '../../src/common/clock.js';
import { changedExtents, type DiskExtents, extentsOf, wholeDisk } from '../../src/transfer/disk-extents.js';
import { NbdDiskReader, type NbdDiskReaderOptions } from '../../src/transfer/nbd-disk-reader.js';
import { NbdEndpoint } from '../../src/xapi/nbd-endpoint.js';
import { TransportError } from '../../src/xapi/transport-error.js';
import { failureOf } from '../support/failure-of.js';
import { type NbdServer, type NbdServerOptions, startNbdServer } from '../support/nbd-server.js';
import { type TestCertificate, testCertificate } from '../support/test-certificate.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const BLOCK = 64 * KIB;

describe('NbdDiskReader', () => {
  const disk = randomFillSync(Buffer.alloc(32 * MIB + 512));
  let certificate: TestCertificate;
  const servers: NbdServer[] = [];

  before(async () => {
    certificate = await testCertificate();
  });
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((one) => one.close()));
  });

  const start = async (parts: Partial<NbdServerOptions> = {}): Promise<NbdServer> => {
    const server = await startNbdServer({ disk, certificate, ...parts });
    servers.push(server);
    return server;
  };
  const endpointOf = ({ port }: { port: number }): NbdEndpoint =>
    new NbdEndpoint({
      host: '127.0.0.1',
      port,
      exportName: '/disk?session_id=OpaqueRef:x',
      certificatePem: certificate.cert,
      subject: 'pool.test',
      isPlainAllowed: false,
    });
  const readerOf = (
    endpoints: readonly { port: number }[],
    extents: DiskExtents,
    parts: Partial<NbdDiskReaderOptions> = {},
  ): NbdDiskReader =>
    new NbdDiskReader({
      endpoints: () => Promise.resolve(endpoints.map(endpointOf)),
      sizeBytes: disk.length,
      extents,
      limits: { connectTimeoutMs: 2000, handshakeTimeoutMs: 2000, idleTimeoutMs: 5000 },
      clock: systemClock,
      signal: new AbortController().signal,
      // On a busy machine even loopback looks far away.
      maxConnections: 1,
      ...parts,
    });
  /** Reads all, and compares every piece with the disk and with the order. */
  const readAll = async (reader: NbdDiskReader, gives = disk): Promise<DiskExtents> => {
    const parts: { offsetBytes: number; lengthBytes: number }[] = [];
    let end = -1;
    for await (const { offsetBytes, data, release } of reader) {
      expect(offsetBytes).to.be.at.least(end);
      end = offsetBytes + data.length;
      expect(data.equals(gives.subarray(offsetBytes, end)), `data at ${offsetBytes}`).to.equal(true);
      parts.push({ offsetBytes, lengthBytes: data.length });
      release?.();
    }
    return extentsOf(parts);
  };
  const scattered = (count: number): DiskExtents =>
    extentsOf(Array.from({ length: count }, (_, index) => ({ offsetBytes: index * 2 * BLOCK, lengthBytes: BLOCK })));

  it('reads a whole disk in order, over one connection, and takes leave', async () => {
    const server = await start();
    let told = 0;
    // No time passes: a way without length.
    const clock = { ...systemClock, nowMs: () => 1 };
    const reader = readerOf([server], wholeDisk(disk.length), {
      onBytes: (bytes) => (told += bytes),
      clock,
      maxConnections: 4,
    });
    expect([...(await readAll(reader))]).to.deep.equal([...wholeDisk(disk.length)]);
    expect(reader.counts).to.deep.equal({
      bytes: disk.length,
      pieces: 33,
      requestedBytes: disk.length,
      losses: 0,
      mostConnections: 1,
      isSecure: true,
    });
    expect(told).to.equal(disk.length);
    expect(server.farewells).to.equal(1);
  });

  it('reads what changed and nothing else', async () => {
    const server = await start();
    const bitmap = randomFillSync(Buffer.alloc(65));
    const extents = changedExtents(bitmap.toString('base64'), disk.length);
    const reader = readerOf([server], extents);
    expect([...(await readAll(reader))]).to.deep.equal([...extents]);
    expect(server.reads.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)).to.equal(extents.totalBytes);
  });

  it('connects to nobody when nothing changed', async () => {
    const server = await start();
    expect((await readAll(readerOf([server], extentsOf([])))).totalBytes).to.equal(0);
    expect(server.connections).to.equal(0);
  });

  it('has a constant amount ahead of its consumer', async () => {
    const server = await start({ latencyMs: 1 });
    const window = { bytes: 3 * MIB, requests: 100 };
    const reader = readerOf([server], wholeDisk(disk.length), { window });
    const iterator = reader[Symbol.asyncIterator]();
    await iterator.next();
    // The consumer stops here, the window fills, and no more is asked.
    await systemClock.sleep(60);
    expect(reader.counts.requestedBytes).to.be.at.most(4 * MIB);
    let pieces = 1;
    while ((await iterator.next()).done !== true) pieces += 1;
    expect(pieces).to.equal(33);
    expect(server.mostInFlight).to.be.at.most(3 * MIB);
    const few = await start({ latencyMs: 2 });
    await readAll(readerOf([few], scattered(100), { window: { bytes: 64 * MIB, requests: 8 } }));
    expect(few.mostInFlight).to.equal(8 * BLOCK);
  });

  it('leaves a piece alone that was not given back', async () => {
    const server = await start();
    const kept: { offsetBytes: number; data: Buffer }[] = [];
    for await (const piece of readerOf([server], wholeDisk(disk.length), { window: { bytes: MIB, requests: 1 } })) {
      if (kept.length % 2 === 0) piece.release?.();
      kept.push(piece);
    }
    for (const [index, { offsetBytes, data }] of kept.entries()) {
      if (index % 2 === 0) continue;
      expect(data.equals(disk.subarray(offsetBytes, offsetBytes + data.length))).to.equal(true);
    }
  });

  it('has 200 scattered changes under way at once where the way is long', async () => {
    const server = await start({ latencyMs: 20 });
    const fromMs = Date.now();
    await readAll(readerOf([server], scattered(200)));
    // One after the other it would be four seconds.
    expect(Date.now() - fromMs).to.be.lessThan(1000);
    expect(server.mostInFlight).to.be.at.least(150 * BLOCK);
  });

  it('opens more connections where the way is long and one is slow, as many as it may', async () => {
    const server = await start({ latencyMs: 8, handshakeLatencyMs: 8, isSerial: true });
    const reader = readerOf([server], scattered(256), { maxConnections: 3 });
    await readAll(reader);
    expect(reader.counts.mostConnections).to.be.within(2, 3);
    expect(server.connections).to.equal(reader.counts.mostConnections);
  });

  it('goes on with the connections that it has when more are refused', async () => {
    const server = await start({
      latencyMs: 8,
      handshakeLatencyMs: 8,
      isSerial: true,
      onExport: (_, connection) => (connection === 0 ? undefined : 'hang-up'),
    });
    const reader = readerOf([server], scattered(100), { maxConnections: 4 });
    expect((await readAll(reader)).totalBytes).to.equal(100 * BLOCK);
    expect(reader.counts).to.include({ mostConnections: 1, losses: 0 });
    expect(server.connections).to.equal(2);
  });

  describe('a server that dies', () => {
    it('goes on over another endpoint with what is still owed, not from the start', async () => {
      const dying = await start({ onRead: ({ index }) => (index === 20 ? 'hang-up' : undefined) });
      const standby = await start();
      const losses: Error[] = [];
      const reader = readerOf([dying, standby], wholeDisk(disk.length), {
        window: { bytes: 4 * MIB, requests: 16 },
        onLoss: (error) => losses.push(error),
      });
      expect([...(await readAll(reader))]).to.deep.equal([...wholeDisk(disk.length)]);
      expect(standby.reads[0]?.offsetBytes).to.be.at.least(16 * MIB);
      expect(reader.counts.requestedBytes).to.be.at.most(disk.length + 4 * MIB);
      expect(losses).to.have.length(1);
      expect(losses[0]).to.include({ kind: 'interrupted' });
    });

    it('comes back to the same one', async () => {
      const server = await start({ onRead: ({ index }) => (index % 10 === 9 ? 'hang-up' : undefined) });
      const reader = readerOf([server], wholeDisk(disk.length), { window: { bytes: 2 * MIB, requests: 4 } });
      expect((await readAll(reader)).totalBytes).to.equal(disk.length);
      expect(reader.counts.losses).to.be.at.least(3);
    });

    it('asks where to connect again each time', async () => {
      const dying = await start({ onRead: ({ index }) => (index === 3 ? 'hang-up' : undefined) });
      const second = await start();
      const answers = [[dying], [second]];
      const reader = readerOf([], wholeDisk(disk.length), {
        endpoints: () => Promise.resolve((answers.shift() ?? []).map(endpointOf)),
      });
      expect((await readAll(reader)).totalBytes).to.equal(disk.length);
      expect(answers).to.deep.equal([]);
    });

    it('gives up when nothing comes any more, after pauses that grow', async () => {
      const server = await start({ onRead: ({ index }) => (index >= 4 ? 'hang-up' : undefined) });
      const slept: number[] = [];
      const clock = {
        nowMs: () => Date.now(),
        sleep: (delayMs: number, signal?: AbortSignal) => {
          slept.push(delayMs);
          return systemClock.sleep(Math.min(delayMs, 1), signal);
        },
      };
      const window = { bytes: 2 * MIB, requests: 2 };
      const error = await failureOf(readAll(readerOf([server], wholeDisk(disk.length), { clock, window })));
      expect(error).to.include({ kind: 'interrupted' });
      expect(slept).to.deep.equal([0, 500, 2000, 5000, 10_000]);
    });

    it('asks a read again that fails alone, and gives up on it after the third time', async () => {
      const flaky = await start({ onRead: ({ index }) => (index % 7 === 3 ? 5 : undefined) });
      expect((await readAll(readerOf([flaky], wholeDisk(disk.length)))).totalBytes).to.equal(disk.length);
      const broken = await start({ onRead: ({ offsetBytes }) => (offsetBytes === 5 * MIB ? 5 : undefined) });
      const error = await failureOf(readAll(readerOf([broken], wholeDisk(disk.length))));
      expect(error).to.include({ kind: 'interrupted', systemCode: 'EIO' });
      expect(broken.reads.filter(({ offsetBytes }) => offsetBytes === 5 * MIB).length).to.equal(3);
    });
  });

  it('gives exactly the disk whatever dies on the way', async function () {
    this.timeout(30_000);
    const bitmaps = fc.uint8Array({ minLength: 65, maxLength: 65 });
    const troubles = fc.array(fc.nat({ max: 150 }), { maxLength: 6 });
    const windows = fc.record({
      requests: fc.integer({ min: 1, max: 40 }),
      bytes: fc.integer({ min: 1, max: 8 * MIB }),
    });
    await fc.assert(
      fc.asyncProperty(bitmaps, troubles, troubles, windows, async (bitmap, deaths, errors, window) => {
        const failedAt = new Map<number, number>();
        // At the third error of one read it is given up.
        const fails = (offsetBytes: number): boolean => {
          const times = (failedAt.get(offsetBytes) ?? 0) + 1;
          failedAt.set(offsetBytes, times);
          return times < 3;
        };
        const server = await startNbdServer({
          disk,
          certificate,
          onRead: ({ index, offsetBytes }) => {
            if (deaths.includes(index)) return 'hang-up';
            return errors.includes(index) && fails(offsetBytes) ? 5 : undefined;
          },
        });
        try {
          const extents = changedExtents(Buffer.from(bitmap).toString('base64'), disk.length);
          const clock = { ...systemClock, sleep: (_: number, signal?: AbortSignal) => systemClock.sleep(0, signal) };
          const reader = readerOf([server], extents, { window, clock, maxConnections: 3 });
          expect([...(await readAll(reader))]).to.deep.equal([...extents]);
          expect(reader.counts.bytes).to.equal(extents.totalBytes);
        } finally {
          await server.close();
        }
      }),
      { numRuns: 15 },
    );
  });

  it('says when data came in clear', async () => {
    const server = await startNbdServer({ disk });
    servers.push(server);
    const { port } = server;
    const parts = { host: '127.0.0.1', port, exportName: '/x', certificatePem: '', subject: '', isPlainAllowed: true };
    const reader = readerOf([], wholeDisk(disk.length), { endpoints: () => Promise.resolve([new NbdEndpoint(parts)]) });
    await readAll(reader);
    expect(reader.counts.isSecure).to.equal(false);
  });

  describe('what it refuses', () => {
    it('fails with the last reason when no endpoint can be had', async () => {
      const server = await start();
      await server.close();
      const refused = readAll(readerOf([server], wholeDisk(disk.length)));
      expect(await failureOf(refused)).to.include({ kind: 'unreachable' });
      expect(await failureOf(readAll(readerOf([], wholeDisk(disk.length))))).to.include({ kind: 'unreachable' });
    });

    it('tries the next endpoint when one is not there', async () => {
      const gone = await start();
      await gone.close();
      const server = await start();
      expect((await readAll(readerOf([gone, server], wholeDisk(disk.length)))).totalBytes).to.equal(disk.length);
    });

    it('tries no other endpoint when a certificate is wrong', async () => {
      const impostor = await start({ certificate: await testCertificate() });
      const server = await start();
      const error = await failureOf(readAll(readerOf([impostor, server], wholeDisk(disk.length))));
      expect(error).to.be.instanceOf(TransportError).and.to.include({ kind: 'untrusted' });
      expect(server.connections).to.equal(0);
    });

    it('reads nothing of a disk of another size', async () => {
      const server = await start({ sizeBytes: BigInt(disk.length + 512) });
      expect(await failureOf(readAll(readerOf([server], wholeDisk(disk.length))))).to.include({ kind: 'protocol' });
      expect(server.reads).to.deep.equal([]);
    });
  });

  it('ends with its signal and leaves no connection', async () => {
    const server = await start({ latencyMs: 5 });
    const stopping = new AbortController();
    const reason = new Error('enough');
    const work = async (): Promise<void> => {
      for await (const piece of readerOf([server], wholeDisk(disk.length), { signal: stopping.signal })) {
        if (piece.offsetBytes === 3 * MIB) stopping.abort(reason);
      }
    };
    expect(await failureOf(work())).to.equal(reason);
    while (server.open > 0) await systemClock.sleep(2);
  });

  it('leaves no connection when its consumer stops', async () => {
    const server = await start();
    for await (const piece of readerOf([server], wholeDisk(disk.length))) {
      if (piece.offsetBytes === 3 * MIB) break;
    }
    while (server.open > 0) await systemClock.sleep(2);
    expect(server.connections).to.equal(1);
  });
});
