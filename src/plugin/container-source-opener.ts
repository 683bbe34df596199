import { hostname, networkInterfaces } from 'node:os';
import { type Container, inject, injectable, type ServiceIdentifier } from 'inversify';
import { type BackupSource, type ClientConfig, type HostServices, type JsonSchema } from '../contract/index.js';
import { type SourceOpener } from '../provider/source-opener.js';
import { toBackupError } from '../provider/to-backup-error.js';
import { XenServerSource } from '../provider/xen-server-source.js';
import { type ConnectionSettings } from '../session/connection-settings.js';
import { Credentials } from '../session/credentials.js';
import { type SourceIdentity } from '../session/source-identity.js';
import { resolveTrust } from '../session/trust.js';
import { connectionSettings, parseXenConfig, xenConfigJsonSchema } from './xen-config.js';

export const HostServicesToken = Symbol('HostServices') as ServiceIdentifier<HostServices>;

/** Makes the container of one open source; the plugin's module knows what belongs into it. */
export type SourceContainers = (settings: ConnectionSettings, identity: SourceIdentity) => Container;

export const SourceContainers = Symbol('SourceContainers') as ServiceIdentifier<SourceContainers>;

/** Opens each client in a container of its own, and knows which are open. */
@injectable()
export class ContainerSourceOpener implements SourceOpener {
  readonly configSchema: JsonSchema = xenConfigJsonSchema();
  readonly #open = new Set<XenServerSource>();

  constructor(
    @inject(HostServicesToken) private readonly host: HostServices,
    @inject(SourceContainers) private readonly containers: SourceContainers,
  ) {}

  async open(client: ClientConfig, signal?: AbortSignal): Promise<BackupSource> {
    try {
      signal?.throwIfAborted();
      const config = parseXenConfig(client.settings);
      const trust = await resolveTrust(config.trust);
      const credentials = new Credentials(config.username, await this.host.resolveSecret(config.password));
      const { hostId } = this.host;
      const moverHost = config.dataMover ?? hostname();
      const mover = { names: [moverHost, hostname()], addresses: ownAddresses() };
      const identity = { clientName: client.name, hostId, moverHost, mover };
      const container = this.containers(connectionSettings(config, credentials, trust), identity);
      return await this.#start(container.get(XenServerSource), signal);
    } catch (error) {
      throw toBackupError(error);
    }
  }

  async closeAll(): Promise<void> {
    await Promise.allSettled([...this.#open].map((source) => source.close()));
  }

  /** A source that can't log in is closed at once: nothing of it stays. */
  async #start(source: XenServerSource, signal: AbortSignal | undefined): Promise<XenServerSource> {
    this.#open.add(source);
    source.onClosed(() => this.#open.delete(source));
    try {
      await source.open(signal);
      return source;
    } catch (error) {
      await source.close();
      throw error;
    }
  }
}

/** Addresses of this machine; not the loopback ones, which every machine has. */
function ownAddresses(): readonly string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.filter(({ internal }) => !internal).map(({ address }) => address);
}
