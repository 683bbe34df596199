import { CleanupStack } from '../common/cleanup-stack.js';
import { keepAllowedOperations } from './behaviour/allowed-operations.js';
import { promoteHost } from './behaviour/host-power.js';
import { expireSessions, setForeignUsage, writeToDisk } from './behaviour/pool-actions.js';
import { METHODS } from './behaviour/method-table.js';
import { buildPool } from './build/build-pool.js';
import { makeCertificate, type HostCertificate } from './certificate.js';
import { startControlServer } from './control/control-server.js';
import { type ControlledPool } from './control/operation.js';
import { perform } from './control/perform.js';
import { Datamodel } from './datamodel/datamodel.js';
import { readFaults } from './faults.js';
import { serveConnection, type ServerParts } from './http/connection.js';
import { listenEverywhere } from './http/listeners.js';
import { NbdServer } from './nbd/nbd-server.js';
import { ROUTES } from './http/route-table.js';
import { PoolClock } from './pool-clock.js';
import { readPoolDefinition } from './pool-file.js';
import { Dispatcher } from './rpc/dispatcher.js';
import { SimulatedPool } from './simulated-pool.js';
import { type RunningHost, type RunningPool, type SimulatedPoolOptions } from './pool-interface.js';
import { snapshotState } from './pool-state.js';
import { flagOf, textOf } from './wire/wire-value.js';

export { type RunningHost, type RunningPool, type SimulatedPoolOptions } from './pool-interface.js';

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
    clock: options.clock ?? new PoolClock(options.clockStandsAtMs),
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
  for (const fault of readFaults(options.faults ?? [], 'faults')) pool.faults.add(fault);
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
        onDoor: (index, door) => {
          const host = endpoints[index]?.host ?? '';
          pool.doors.set(host, (pool.doors.get(host) ?? new Set()).add(door));
        },
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
  const close = async (): Promise<void> => {
    pool.closing.abort();
    await cleanup.run();
    await Promise.all(open);
  };
  const controlled: ControlledPool = {
    pool,
    get connectionCount() {
      return open.size;
    },
    close,
  };
  let httpPort = 0;
  let controlUrl: string | undefined;
  try {
    pool.httpsPort = await listen(options.port ?? 0, 'https');
    httpPort = await listen(options.httpPort ?? 0, 'http');
    pool.nbdPort = await listen(options.nbdPort ?? 0, 'nbd');
    if (options.controlPort !== undefined) {
      controlUrl = await startControlServer(controlled, options.controlPort, cleanup);
    }
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
    controlUrl,
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
      expireSessions(pool);
    },
    makeCoordinator: (hostUuid) => {
      promoteHost(pool, pool.store.refByUuid('host', hostUuid));
    },
    writeGuest: (vdiUuid, offset, data) => {
      writeToDisk(pool, pool.store.refByUuid('VDI', vdiUuid), offset, data);
    },
    setGuest: (vmUuid, behaviour) => {
      pool.guests.set(pool.store.refByUuid('VM', vmUuid), behaviour);
    },
    setForeignUsage: (srUuid, foreignBytes) => {
      setForeignUsage(pool, pool.store.refByUuid('SR', srUuid), foreignBytes);
    },
    addFault: (fault) => pool.faults.add(fault),
    perform: (name, input = {}) => perform(controlled, name, input),
    closed: pool.closing.signal,
    close,
  };
}

/** The host is down, or has shut its port for plain http. */
function isShut(pool: SimulatedPool, host: string, protocol: string): boolean {
  if (pool.downHosts.has(host)) return true;
  return protocol === 'http' && flagOf(pool.store.find('host', host) ?? {}, 'https_only');
}
