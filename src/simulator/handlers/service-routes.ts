import { type Exchange, type Route } from '../http/handler.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { textOf } from '../wire/wire-value.js';
import { bareHead, refusalHead } from './heads.js';

const SERVICES = '/services';
const STORAGE_SERVICES = `${SERVICES}/SM`;

/** What answers for the storage services of a host, as they describe themselves. */
const STORAGE_MULTIPLEXOR = {
  required_cluster_stack: [],
  configuration: {},
  features: [STORAGE_SERVICES],
  required_api_version: '2.0',
  version: '2.0',
  copyright: 'see the source code',
  vendor: 'XCP',
  description: 'forwards calls to other plugins',
  name: 'storage multiplexor',
  driver: 'mux',
};

/** Handlers beside the backup ones that a client may knock at: they find nothing here, in XAPI's words. */
export const serviceRoutes: readonly Route[] = [
  { method: 'GET', prefix: '/blob', realm: 'get_blob', role: 'read-only', handle: handleBlob },
  { method: 'GET', prefix: '/console', realm: 'connect_console_ws', role: 'vm-operator', handle: handleConsole },
  { method: 'GET', prefix: SERVICES, realm: 'get_services', role: 'read-only', handle: handleServices },
];

/** GET /blob: there are no blobs, so every reference is unknown. */
async function handleBlob(exchange: Exchange): Promise<void> {
  if (!exchange.query.has('ref') && !exchange.query.has('uuid')) {
    await exchange.writeHead(refusalHead('400 Bad Request'));
    return;
  }
  const page = 'Unknown reference\n';
  await exchange.writeHead([
    `HTTP/${exchange.httpVersion} 404 Not Found`,
    `content-length: ${page.length}`,
    'connection: close',
    'cache-control: no-cache, no-store',
  ]);
  await exchange.write(Buffer.from(page));
}

/** GET /console: consoles have records and no screens. Always fails, as XAPI does for a VM that runs elsewhere. */
function handleConsole(exchange: Exchange): Promise<void> {
  exchange.adoptTask('Connection to VM console');
  return Promise.reject(new SimulatedFailure('INTERNAL_ERROR', ['Console.Failure']));
}

/** GET /services: what the storage layer says of itself, and its drivers. */
async function handleServices(exchange: Exchange): Promise<void> {
  const path = exchange.path.replace(/\/$/, '');
  const drivers = exchange.pool.store.all('SM').map(([, record]) => textOf(record, 'type'));
  const found = path === SERVICES ? STORAGE_MULTIPLEXOR : path === STORAGE_SERVICES ? drivers : undefined;
  if (found === undefined) {
    await exchange.writeHead(refusalHead('404 Not Found', '1.0'));
    return;
  }
  await exchange.writeHead(bareHead());
  await exchange.write(Buffer.from(JSON.stringify(found)));
}
