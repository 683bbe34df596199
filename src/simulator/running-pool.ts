import { CleanupStack } from '../common/cleanup-stack.js';
import { systemClock, type Clock } from '../common/clock.js';
import { keepAllowedOperations } from './behaviour/allowed-operations.js';
import { contentOf, updateVdiSpace } from './behaviour/disks.js';
import { METHODS } from './behaviour/method-table.js';
import { storageCondition, watchRoom } from './behaviour/sr-space.js';
import { buildPool } from './build/build-pool.js';
import { makeCertificate, type HostCertificate } from './certificate.js';
import { Datamodel } from './datamodel/datamodel.js';
import { type Fault } from './faults.js';
import { serveConnection, type ServerParts } from './http/connection.js';
import { type Route } from './http/handler.js';
import { listenEverywhere } from './http/listeners.js';
import { NbdServer } from './nbd/nbd-server.js';
import { ROUTES } from './http/route-table.js';
import { type DatabaseRestore, type GuestBehaviour, type HostRestore } from './pool-conditions.js';
import { type PoolDefinition } from './pool-definition.js';
import { readPoolDefinition } from './pool-file.js';
import { Dispatcher } from './rpc/dispatcher.js';
import { SimulatedPool } from './simulated-pool.js';
import { snapshotState, type PoolState, type StateOptions } from './pool-state.js';
import { type PoolTimings } from './timings.js';
import { flagOf, textOf } from './wire/wire-value.js';

export interface SimulatedPoolOptions {
  /** A pool file (absolute, or from this package's folder) or its content; the small pool when absent. */
  readonly poolFile?: string | PoolDefinition;
  /** The https port of all hosts; 0 or absent: any that is free on all of them. */
  readonly port?: number;
  /** The plain http port; 0 or absent: any free one. */
  readonly httpPort?: number;
  /** The port for disks over NBD, 10809 with a real pool; 0 or absent: any free one, as VDI.get_nbd_info tells. */
  readonly nbdPort?: number;
  readonly username?: string;
  readonly password?: string;
  /** `8.3` when neither this nor the file says otherwise; see RELEASE_NAMES. */
  readonly release?: string;
  readonly seed?: number;
  /** How long a login with a bad password takes. A real pool takes 5000 ms; 0 when absent. */
  readonly loginDelayMs?: number;
  readonly faults?: readonly Fault[];
  readonly clock?: Clock;
  /** Handlers of transfers beside, or before, the built-in ones. */
  readonly routes?: readonly Route[];
}

export interface RunningHost {
  readonly uuid: string;
  readonly name: string;
  readonly address: string;
  readonly url: string;
  readonly httpUrl: string;
  readonly fingerprint256: string;
  /** Further addresses at which it answers, on the same ports. */
  readonly otherAddresses: readonly string[];
}

/** A pool that answers on loopback, and what a test may do to it. */
export interface RunningPool {
  /** Of the host that was the coordinator at the start. */
  readonly url: string;
  readonly httpUrl: string;
  readonly username: string;
  readonly password: string;
  readonly fingerprint256: string;
  readonly certificatePem: string;
  /** In the order of the pool file. */
  readonly hosts: readonly RunningHost[];
  /** The state itself: records, disks, tasks, sessions. */
  readonly pool: SimulatedPool;
  /** Open connections of clients. */
  readonly connectionCount: number;
  /** How long things take; may be changed at any time. */
  readonly timings: PoolTimings;
  /** Databases and control domains that clients put back, oldest first. */
  readonly databaseRestores: readonly DatabaseRestore[];
  readonly hostRestores: readonly HostRestore[];
  /** A copy of all records, to compare before and after. */
  snapshotState(options?: StateOptions): PoolState;
  /** Ends every session: the next call of each is SESSION_INVALID. */
  expireSessions(): void;
  /** Makes another host the coordinator: sessions stay good, the old one answers HOST_IS_SLAVE. */
  makeCoordinator(hostUuid: string): void;
  /** What a guest writes to its disk. Throws VDI_IO_ERROR when thin storage has filled up. */
  writeGuest(vdiUuid: string, offset: number, data: Buffer): void;
  /** What a guest says and does from now on; its metrics tell at its next start. */
  setGuest(vmUuid: string, behaviour: GuestBehaviour): void;
  /** The space that something else than the pool's disks takes; the record tells with the next scan. */
  setForeignUsage(srUuid: string, bytes: number): void;
  /** Adds a fault; the returned function takes it away. */
  addFault(fault: Fault): () => void;
  /** Stops everything: connections are cut, ports are free, no timer is left. */
  close(): Promise<void>;
}

const DEFAULT_USERNAME = 'root';
const DEFAULT_PASSWORD = 'simulated';

/** Starts a simulated pool. Throws SimulatedFailure INVALID_VALUE for a bad pool file or release. */
export async function startSimulatedPool(options: SimulatedPoolOptions = {}): Promise<RunningPool> {
  const definition = readPoolDefinition(options.poolFile);
  const pool = new SimulatedPool({
    datamodel: new Datamodel(options.release ?? definition.release),
    credentials: {
      username: options.username ?? definition.username ?? DEFAULT_USERNAME,
      password: options.password ?? definition.password ?? DEFAULT_PASSWORD,
    },
    clock: options.clock ?? systemClock,
    seed: options.seed ?? definition.seed ?? 1,
    loginDelayMs: options.loginDelayMs ?? 0,
  });
  const places = await Promise.all(
    definition.hosts.map(async ({ name, address = '' }, index): Promise<Place> => {
      const own = address === '' ? `127.0.0.${index + 1}` : address;
      const others = definition.networks.flatMap(({ hostAddresses }) => hostAddresses[name] ?? []);
      return { address: own, others, certificate: await makeCertificate(name, own) };
    }),
  );
  buildPool(pool, definition, places);
  for (const fault of options.faults ?? []) pool.faults.add(fault);
  return serve(pool, places, options);
}

/** Where a host is to be found. */
interface Place {
  readonly address: string;
  readonly others: readonly string[];
  readonly certificate: HostCertificate;
}

async function serve(
  pool: SimulatedPool,
  places: readonly Place[],
  options: SimulatedPoolOptions,
): Promise<RunningPool> {
  const cleanup = new CleanupStack();
  cleanup.add('allowed operations', keepAllowedOperations(pool));
  const hostRefs = pool.store.all('host').map(([ref]) => ref);
  const parts: ServerParts = {
    pool,
    dispatcher: new Dispatcher(pool, METHODS),
    routes: [...(options.routes ?? []), ...ROUTES],
    signal: pool.closing.signal,
  };
  const nbd = new NbdServer(pool);
  const open = new Set<Promise<void>>();
  const endpoints = places.flatMap(({ address, others, certificate }, index) =>
    [address, ...others].map((one) => ({ address: one, host: hostRefs[index] ?? '', ...certificate })),
  );
  const listen = (port: number, protocol: 'http' | 'https' | 'nbd'): Promise<number> =>
    listenEverywhere(
      {
        endpoints,
        port,
        isTls: protocol === 'https',
        onConnection: (index, isSecure, socket) => {
          const endpoint = endpoints[index];
          if (endpoint === undefined || isShut(pool, endpoint.host, protocol)) {
            socket.destroy();
            return;
          }
          const { host } = endpoint;
          const ofHost = pool.connections.get(host) ?? new Set();
          pool.connections.set(host, ofHost.add(socket));
          const answering =
            protocol === 'nbd' ? nbd.serve(endpoint, socket) : serveConnection(parts, host, isSecure, socket);
          const served = answering.finally(() => {
            open.delete(served);
            ofHost.delete(socket);
          });
          open.add(served);
        },
      },
      cleanup,
    );
  let httpPort = 0;
  try {
    pool.httpsPort = await listen(options.port ?? 0, 'https');
    httpPort = await listen(options.httpPort ?? 0, 'http');
    pool.nbdPort = await listen(options.nbdPort ?? 0, 'nbd');
  } catch (error) {
    await cleanup.run();
    throw error;
  }
  const hosts = hostRefs.map((ref, index): RunningHost => {
    const record = pool.store.get('host', ref);
    const address = textOf(record, 'address');
    return {
      uuid: textOf(record, 'uuid'),
      name: textOf(record, 'name_label'),
      address,
      url: `https://${address}:${pool.httpsPort}`,
      httpUrl: `http://${address}:${httpPort}`,
      fingerprint256: places[index]?.certificate.fingerprint256 ?? '',
      otherAddresses: places[index]?.others ?? [],
    };
  });
  const [first] = hosts;
  return {
    url: first?.url ?? '',
    httpUrl: first?.httpUrl ?? '',
    ...pool.sessions.credentials,
    fingerprint256: first?.fingerprint256 ?? '',
    certificatePem: places[0]?.certificate.certificatePem ?? '',
    hosts,
    pool,
    get connectionCount() {
      return open.size;
    },
    timings: pool.timings,
    databaseRestores: pool.databaseRestores,
    hostRestores: pool.hostRestores,
    snapshotState: (stateOptions) => snapshotState(pool, stateOptions),
    expireSessions: () => {
      for (const [ref] of pool.store.all('session')) pool.sessions.end(ref);
    },
    makeCoordinator: (hostUuid) => {
      pool.store.patch('pool', pool.poolEntry[0], { master: pool.store.refByUuid('host', hostUuid) });
    },
    writeGuest: (vdiUuid, offset, data) => {
      const vdi = pool.store.refByUuid('VDI', vdiUuid);
      const content = contentOf(pool, vdi);
      const assertRoom = watchRoom(pool, vdi, content);
      content.write(offset, data);
      updateVdiSpace(pool, vdi);
      assertRoom();
    },
    setGuest: (vmUuid, behaviour) => {
      pool.guests.set(pool.store.refByUuid('VM', vmUuid), behaviour);
    },
    setForeignUsage: (srUuid, foreignBytes) => {
      const sr = pool.store.refByUuid('SR', srUuid);
      pool.storage.set(sr, { ...storageCondition(pool, sr), foreignBytes });
    },
    addFault: (fault) => pool.faults.add(fault),
    close: async () => {
      pool.closing.abort();
      await cleanup.run();
      await Promise.all(open);
    },
  };
}

/** The host boots, or has shut its port for plain http. */
function isShut(pool: SimulatedPool, host: string, protocol: string): boolean {
  if (pool.restartingHosts.has(host)) return true;
  return protocol === 'http' && flagOf(pool.store.find('host', host) ?? {}, 'https_only');
}
