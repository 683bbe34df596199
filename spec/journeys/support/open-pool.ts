import { systemClock } from '../../../src/common/clock.js';
import { Credentials } from '../../../src/session/credentials.js';
import { type PoolConnection } from '../../../src/session/pool-connection.js';
import { redactingLogger, Redactor } from '../../../src/session/redact.js';
import { XapiPoolConnection } from '../../../src/session/xapi-pool-connection.js';
import { type RunningPool, startSimulatedPool } from '../../../src/simulator/index.js';
import { XenApiClient } from '../../../src/xapi/xen-api-client.js';
import { RecordingLogger } from '../../support/recording-logger.js';
import { SMALL_POOL } from './xen-world.js';

/** The small pool with one connection to it, without the plugin. */
export interface OpenPool {
  readonly running: RunningPool;
  readonly connection: PoolConnection;
  close(): Promise<void>;
}

export async function openSmallPool(): Promise<OpenPool> {
  const running = await startSimulatedPool({ poolFile: SMALL_POOL });
  const connection = await connectTo(running);
  return {
    running,
    connection,
    close: async () => {
      await connection.close();
      await running.close();
    },
  };
}

/** A connection to a pool, as anybody may have one. */
export async function connectTo(running: RunningPool): Promise<PoolConnection> {
  const trust = { mode: 'pinned', fingerprints: running.hosts.map(({ fingerprint256 }) => fingerprint256) } as const;
  const redactor = new Redactor();
  const connection = new XapiPoolConnection(
    {
      connectTimeoutMs: 2000,
      callTimeoutMs: 5000,
      firstByteTimeoutMs: 5000,
      idleTimeoutMs: 5000,
      reconnectTimeoutMs: 3000,
      endpoint: { protocol: 'https:', host: '127.0.0.1', port: Number(new URL(running.url).port) },
      credentials: new Credentials(running.username, running.password),
      trust,
      dataTransport: 'https',
      httpPort: Number(new URL(running.httpUrl).port),
    },
    (endpoint) => new XenApiClient({ endpoint, trust, connectTimeoutMs: 2000 }),
    systemClock,
    redactingLogger(new RecordingLogger(), redactor),
    redactor,
  );
  await connection.open();
  return connection;
}
