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
import { DISPLAY_NAME, SUPPORTED_KINDS } from './xen-server-provider.js';

export const BROWSER_ID = 'xenserver-browser';
export const RESTORE_HANDLER_ID = 'xenserver-machines';

/** What the plugin offers: the provider, and its browser and restore handler for hosts that take them one by one. */
export function contributionsOf(provider: BackupSourceProvider): PluginContributions {
  const browser: BrowserContribution = {
    id: BROWSER_ID,
    providerId: provider.id,
    displayName: DISPLAY_NAME,
    open: (client, signal) => openPart<SourceBrowser>(provider, client, signal, (source) => source.browser),
  };
  const restoreHandler: RestoreHandlerContribution = {
    id: RESTORE_HANDLER_ID,
    providerId: provider.id,
    kinds: SUPPORTED_KINDS,
    open: (client, signal) => openPart<RestoreHandler>(provider, client, signal, restoreHandlerOf),
  };
  return { sources: [provider], browsers: [browser], restoreHandlers: [restoreHandler] };
}

function restoreHandlerOf(source: BackupSource): RestoreHandler {
  return {
    id: RESTORE_HANDLER_ID,
    kinds: SUPPORTED_KINDS,
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
