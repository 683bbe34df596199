import {
  type BackupSource,
  type BackupSourceProvider,
  type BrowserContribution,
  type ClientConfig,
  type Opened,
  type PluginContributions,
  type RestoreHandler,
  type RestoreHandlerContribution,
  type SourceBrowser,
} from '../contract/index.js';
import { DISPLAY_NAME, MACHINE_KINDS, SYSTEM_KINDS } from './xen-server-provider.js';

export const BROWSER_ID = 'xenserver-browser';
export const MACHINE_RESTORE_ID = 'xenserver-machines';
export const SYSTEM_RESTORE_ID = 'xenserver-systems';

/** What the plugin offers: the provider, and its browser and restore handlers for hosts that take them one by one. */
export function contributionsOf(provider: BackupSourceProvider): PluginContributions {
  const browser: BrowserContribution = {
    id: BROWSER_ID,
    providerId: provider.id,
    displayName: DISPLAY_NAME,
    open: (client, signal) => openPart<SourceBrowser>(provider, client, signal, (source) => source.browser),
  };
  const restorer = (id: string, kinds: readonly string[]): RestoreHandlerContribution => ({
    id,
    providerId: provider.id,
    kinds,
    open: (client, signal) =>
      openPart<RestoreHandler>(provider, client, signal, (source) => restoreHandlerOf(id, kinds, source)),
  });
  const restoreHandlers = [restorer(MACHINE_RESTORE_ID, MACHINE_KINDS), restorer(SYSTEM_RESTORE_ID, SYSTEM_KINDS)];
  return { sources: [provider], browsers: [browser], restoreHandlers };
}

function restoreHandlerOf(id: string, kinds: readonly string[], source: BackupSource): RestoreHandler {
  return {
    id,
    kinds,
    planRestore: (request, record) => source.planRestore(request, record),
    restore: (request, media) => source.restore(request, media),
  };
}

async function openPart<Part>(
  provider: BackupSourceProvider,
  client: ClientConfig,
  signal: AbortSignal | undefined,
  part: (source: BackupSource) => Part,
): Promise<Opened<Part>> {
  const source = await provider.open(client, signal);
  return { value: part(source), close: () => source.close() };
}
