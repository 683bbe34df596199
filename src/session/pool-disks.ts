import { isIPv6 } from 'node:net';
import { isRefusal } from '../xapi/task-follower.js';
import { NbdEndpoint } from '../xapi/nbd-endpoint.js';
import { answersTcp } from '../xapi/nbd-handshake.js';
import { NBD_PORT } from '../xapi/nbd-protocol.js';
import { type Endpoint } from '../xapi/tls-trust.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { type RefOf } from '../xapi/xapi-records.js';
import { type ConnectionSettings } from './connection-settings.js';
import { type CallOptions, type NbdEndpointOptions, type PoolMember } from './pool-connection.js';

/** A pool may have 64 hosts: so many addresses are tried at most. */
const MAX_TRIED = 8;
/** Whoever takes longer goes to the end of the list. */
const MAX_WAIT_MS = 2_000;

export interface PoolDisksContext {
  readonly call: (method: string, args: readonly unknown[], options?: CallOptions) => Promise<unknown>;
  readonly members: () => Promise<readonly PoolMember[]>;
  /** Where we talk to the coordinator. */
  readonly coordinator: () => Endpoint;
}

/** Where the pool serves its disks by NBD. */
export class PoolDisks {
  readonly #settings: ConnectionSettings;
  readonly #context: PoolDisksContext;

  constructor(settings: ConnectionSettings, context: PoolDisksContext) {
    this.#settings = settings;
    this.#context = context;
  }

  /** See `PoolConnection.nbdEndpoints`. */
  async nbdEndpoints(vdi: RefOf<'VDI'>, options: NbdEndpointOptions = {}): Promise<readonly NbdEndpoint[]> {
    const { forceTls = false, ...callOptions } = options;
    const isPlainAllowed = this.#settings.dataTransport === 'http' && !forceTls;
    const servers = await this.#servers(vdi, callOptions);
    if (servers.length === 0) return [];
    const members = await this.#context.members();
    const ranked = servers
      .map((server) => ({
        rank: rankOf(server.address, members),
        endpoint: this.#endpoint(server, members, isPlainAllowed),
      }))
      .sort((first, second) => first.rank - second.rank)
      .map(({ endpoint }) => endpoint)
      .slice(0, MAX_TRIED);
    return ranked.length === 1 ? ranked : await this.#reachableFirst(ranked, options.signal);
  }

  async #servers(vdi: RefOf<'VDI'>, options: CallOptions): Promise<readonly NbdServerInfo[]> {
    try {
      const answer = await this.#context.call('VDI.get_nbd_info', [vdi], options);
      return (Array.isArray(answer) ? (answer as readonly unknown[]) : []).flatMap(serverInfo);
    } catch (error) {
      // Before XenServer 7.3 there was no NBD. A disk that has no data is another matter.
      if (isXapiError(error) && isRefusal(error)) return [];
      throw error;
    }
  }

  /** The coordinator may be known to us under another address than to itself (NAT); then ours is used. */
  #endpoint(info: NbdServerInfo, members: readonly PoolMember[], isPlainAllowed: boolean): NbdEndpoint {
    const isCoordinator = info.address === members[0]?.address;
    const host = isCoordinator ? this.#context.coordinator().host : info.address;
    const { port, exportName, certificatePem, subject } = info;
    return new NbdEndpoint({ host, port, exportName, certificatePem, subject, isPlainAllowed });
  }

  /** IPv6 addresses that refuse are left out: the server listens on IPv4 only, and the pool lists both. */
  async #reachableFirst(
    endpoints: readonly NbdEndpoint[],
    signal: AbortSignal | undefined,
  ): Promise<readonly NbdEndpoint[]> {
    const waitMs = Math.min(this.#settings.connectTimeoutMs, MAX_WAIT_MS);
    const answers = await Promise.all(endpoints.map((endpoint) => answersTcp(endpoint, waitMs, signal)));
    const reachable = endpoints.filter((_, index) => answers[index] === true);
    const others = endpoints.filter((endpoint, index) => answers[index] !== true && !isIPv6(endpoint.host));
    const found = [...reachable, ...others];
    return found.length === 0 ? endpoints : found;
  }
}

interface NbdServerInfo {
  readonly address: string;
  readonly port: number;
  readonly exportName: string;
  readonly certificatePem: string;
  readonly subject: string;
}

function serverInfo(wire: unknown): readonly NbdServerInfo[] {
  if (typeof wire !== 'object' || wire === null) return [];
  const { address, port, exportname, cert, subject } = wire as Readonly<Record<string, unknown>>;
  if (typeof address !== 'string' || address === '' || typeof exportname !== 'string') return [];
  const number = Number(port);
  return [
    {
      // XAPI lists an IPv6 address as its interface has it, with the length of the prefix.
      address: address.replace(/\/\d+$/, '').replace(/^\[|\]$/g, ''),
      port: Number.isInteger(number) && number > 0 && number < 65_536 ? number : NBD_PORT,
      exportName: exportname,
      certificatePem: typeof cert === 'string' ? cert : '',
      subject: typeof subject === 'string' ? subject : '',
    },
  ];
}

/** The network for backups first; IPv6 last. */
function rankOf(address: string, members: readonly PoolMember[]): number {
  if (members.some(({ dataAddress }) => dataAddress === address)) return 0;
  return isIPv6(address) ? 2 : 1;
}
