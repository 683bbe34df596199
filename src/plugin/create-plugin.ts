import { Container } from 'inversify';
import { type Clock, systemClock } from '../common/clock.js';
import { BackupError, type BackupPlugin, CONTRACT_API_VERSION } from '../contract/index.js';
import { contributionsOf } from '../provider/contributions.js';
import { SourceOpener } from '../provider/source-opener.js';
import { XenServerProvider } from '../provider/xen-server-provider.js';
import { type ConnectionSettings } from '../session/connection-settings.js';
import { type XapiClientFactory } from '../xapi/xapi-client.js';
import { pluginModule, sourceModule } from './xen-module.js';

/** Id of the plugin, as in `plugin.manifest.json`. */
export const MANIFEST_ID = 'xenserver';

/** What a host may put in the place of our own parts. */
export interface PluginSeams {
  /** Makes the control channel for one client. Default: over the package `xen-api`. */
  readonly newClient?: (settings: ConnectionSettings) => XapiClientFactory;
  readonly clock?: Clock;
}

/** The plugin. Without seams it is what `index.ts` exports; with them, for hosts that replace a part, and for specs. */
export function createPlugin({ newClient, clock = systemClock }: PluginSeams = {}): BackupPlugin {
  let active: Container | undefined;
  return {
    manifestId: MANIFEST_ID,
    apiVersion: CONTRACT_API_VERSION,
    activate: (host) => {
      if (active !== undefined) {
        return Promise.reject(new BackupError('INTERNAL', 'The plugin is active already.'));
      }
      const root = new Container();
      const containers = (
        settings: ConnectionSettings,
        identity: Parameters<typeof sourceModule>[1]['identity'],
      ): Container => {
        const child = new Container({ parent: root });
        child.load(sourceModule(host, { settings, identity, newClient }));
        return child;
      };
      root.load(pluginModule(host, clock, containers));
      active = root;
      return Promise.resolve(contributionsOf(root.get(XenServerProvider)));
    },
    deactivate: async () => {
      const root = active;
      active = undefined;
      await root?.get(SourceOpener).closeAll();
    },
  };
}
