import { inject, injectable } from 'inversify';
import { type ByteRun } from '../common/byte-extent.js';
import { Clock } from '../common/clock.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { PoolConnection } from '../session/pool-connection.js';
import { type DiskExtents, splitReads } from '../transfer/disk-extents.js';
import { connectNbd } from '../xapi/nbd-client.js';
import { NbdEndpoint } from '../xapi/nbd-endpoint.js';
import { TransportError } from '../xapi/transport-error.js';
import { type RefOf } from '../xapi/xapi-records.js';

interface NbdInfo {
  readonly address: string;
  readonly port: number | string;
  readonly exportname: string;
  readonly cert: string;
  readonly subject: string;
}

/** Reads parts of a snapshot's disk over NBD. */
@injectable()
export class DiskDataReader {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  /** The data of the extents, ascending. */
  async *read(
    { disk, extents }: { readonly disk: RefOf<'VDI'>; readonly sizeBytes: number; readonly extents: DiskExtents },
    signal: AbortSignal,
  ): AsyncGenerator<ByteRun> {
    if (extents.totalBytes === 0) return;
    const [info] = await this.pool.call<readonly NbdInfo[]>('VDI.get_nbd_info', [disk], { signal });
    if (info === undefined) throw new TransportError('unreachable', 'No host of the pool serves the disk by NBD.');
    const endpoint = new NbdEndpoint({
      host: info.address,
      port: Number(info.port),
      exportName: info.exportname,
      certificatePem: info.cert,
      subject: info.subject,
      isPlainAllowed: this.settings.dataTransport === 'http',
    });
    const { connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs } = this.settings;
    const connection = await connectNbd(
      endpoint,
      { connectTimeoutMs, handshakeTimeoutMs: firstByteTimeoutMs, idleTimeoutMs },
      this.clock,
      signal,
    );
    try {
      for (const { offsetBytes, lengthBytes } of splitReads(extents)) {
        const data = Buffer.allocUnsafe(lengthBytes);
        await connection.read(offsetBytes, data);
        yield { offsetBytes, data };
      }
    } finally {
      await connection.close();
    }
  }
}
