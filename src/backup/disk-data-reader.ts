import { inject, injectable } from 'inversify';
import { Clock } from '../common/clock.js';
import { type HostLogger } from '../contract/index.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { PoolConnection } from '../session/pool-connection.js';
import { RedactedLogger } from '../session/redact.js';
import { type DiskExtents } from '../transfer/disk-extents.js';
import { NbdDiskReader } from '../transfer/nbd-disk-reader.js';
import { type NbdEndpoint } from '../xapi/nbd-endpoint.js';
import { TransportError } from '../xapi/transport-error.js';
import { type RefOf } from '../xapi/xapi-records.js';

export interface DiskRead {
  readonly disk: RefOf<'VDI'>;
  readonly sizeBytes: number;
  readonly extents: DiskExtents;
  readonly forceHttps: boolean;
}

/** Reads parts of a snapshot's disk over NBD, wherever the pool serves it. */
@injectable()
export class DiskDataReader {
  readonly #logger: HostLogger;

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(Clock) private readonly clock: Clock,
    @inject(RedactedLogger) logger: HostLogger,
  ) {
    this.#logger = logger.child({ part: 'nbd' });
  }

  /** The data of the extents, ascending. Errors: `TransportError`, `XapiError`, the signal's reason. */
  read({ disk, sizeBytes, extents, forceHttps }: DiskRead, signal: AbortSignal): NbdDiskReader {
    const { connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs } = this.settings;
    return new NbdDiskReader({
      extents,
      sizeBytes,
      signal,
      clock: this.clock,
      limits: { connectTimeoutMs, handshakeTimeoutMs: firstByteTimeoutMs, idleTimeoutMs },
      endpoints: (asked) => this.#endpoints(disk, forceHttps, asked),
      onLoss: (error) => {
        this.#logger.warn('A connection for reading a disk was lost; another one goes on.', { error });
      },
    });
  }

  async #endpoints(disk: RefOf<'VDI'>, forceTls: boolean, signal: AbortSignal): Promise<readonly NbdEndpoint[]> {
    const endpoints = await this.pool.nbdEndpoints(disk, { forceTls, signal });
    if (endpoints.length > 0) return endpoints;
    throw new TransportError('unreachable', 'No host of the pool serves the disk by NBD.');
  }
}
