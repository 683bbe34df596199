import { type Socket } from 'node:net';
import { makeCertificate } from '../certificate.js';
import { type DiskContent } from '../content/disk-content.js';
import { type FaultAction } from '../faults.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { type NbdExport, openExport } from './nbd-export.js';
import { negotiate } from './nbd-handshake.js';
import { nbdAddressesOf, nbdPurpose } from './nbd-networks.js';
import { exportAnswer } from './nbd-protocol.js';
import { NbdStream, type ServerIdentity } from './nbd-stream.js';
import { transmit } from './nbd-transmission.js';
import { readFaultsOf } from './read-faults.js';

/** So many clients a host serves at a time; a disk that is still being detached counts (facts 7.3). */
const MAX_CONNECTIONS = 16;

/** Where a client came in. */
export interface NbdEndpoint {
  readonly address: string;
  /** Reference of the host. */
  readonly host: string;
  readonly keyPem: string;
  readonly certificatePem: string;
}

/**
 * The NBD servers of a pool's hosts (facts 7.3). As with a real host the port is always there: without a network for
 * NBD every connection is closed without a word.
 */
export class NbdServer {
  readonly #pool: SimulatedPool;
  /** How many connections each host has. */
  readonly #taken = new Map<string, number>();
  #foreign: Promise<ServerIdentity> | undefined;

  constructor(pool: SimulatedPool) {
    this.#pool = pool;
  }

  /** Serves one connection until either side closes it. Never rejects. */
  async serve(endpoint: NbdEndpoint, socket: Socket): Promise<void> {
    const { host, address } = endpoint;
    const faults = this.#pool.faults.forNbd('connection');
    const purpose = nbdPurpose(this.#pool);
    const isOpen = purpose !== undefined && nbdAddressesOf(this.#pool, host).includes(address);
    const count = this.#taken.get(host) ?? 0;
    if (!isOpen || count >= MAX_CONNECTIONS || faults.some((action) => 'refuse' in action)) {
      socket.destroy();
      return;
    }
    this.#taken.set(host, count + 1);
    let served: NbdExport | undefined;
    try {
      const stream = new NbdStream(socket);
      const identity = purpose === 'nbd' ? await this.#identity(endpoint, faults) : undefined;
      const negotiated = await negotiate(stream, identity);
      if (negotiated !== undefined) {
        served = openExport(this.#pool, host, negotiated.exportName);
        await this.#transmit(negotiated.stream, served.content, faults);
      }
      await (negotiated?.stream ?? stream).end();
    } catch {
      socket.destroy();
    } finally {
      if (served !== undefined) await this.#release(served);
      this.#taken.set(host, (this.#taken.get(host) ?? 1) - 1);
    }
  }

  async #transmit(stream: NbdStream, content: DiskContent, faults: readonly FaultAction[]): Promise<void> {
    const pool = this.#pool;
    const faultsOf = readFaultsOf(faults);
    await stream.write(exportAnswer(content.sizeBytes));
    await transmit({
      stream,
      content,
      clock: pool.clock,
      latencyMs: () => pool.timings.nbdLatencyMs,
      nextRead: () => faultsOf(pool.faults.forNbd('read')),
      signal: AbortSignal.any([stream.hungUp, pool.closing.signal]),
    });
  }

  /** Takes the disk from the control domain, some time after the client has gone. */
  async #release(served: NbdExport): Promise<void> {
    const { clock, timings, closing } = this.#pool;
    if (timings.nbdDetachMs > 0) await clock.sleep(timings.nbdDetachMs, closing.signal).catch(() => undefined);
    served.detach();
  }

  #identity(endpoint: NbdEndpoint, faults: readonly FaultAction[]): Promise<ServerIdentity> {
    if (!faults.some((action) => 'wrongCertificate' in action)) return Promise.resolve(endpoint);
    return (this.#foreign ??= makeCertificate('elsewhere.example', '192.0.2.1'));
  }
}
