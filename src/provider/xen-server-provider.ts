import { inject, injectable } from 'inversify';
import {
  type BackupSource,
  type BackupSourceProvider,
  type ClientConfig,
  type DiskReadRequest,
  type JsonSchema,
  type OpenedItem,
  type ProviderCapabilities,
  type RestoreMedia,
} from '../contract/index.js';
import { readSavedDisk } from '../restore/disk-reader.js';
import { PROVIDER_ID } from '../session/source-identity.js';
import { OFFERED_LEVELS, OFFERED_MODES } from './request-check.js';
import { SourceOpener } from './source-opener.js';

export const DISPLAY_NAME = 'Citrix XenServer';

/** Kinds of source that are saved and restored: those with disks, and the pool and its hosts themselves. */
export const MACHINE_KINDS = ['vm', 'template'] as const;
export const SYSTEM_KINDS = ['pool', 'host'] as const;

/** Citrix XenServer and XCP-ng pools. Holds no algorithm. */
@injectable()
export class XenServerProvider implements BackupSourceProvider {
  readonly id = PROVIDER_ID;
  readonly displayName = DISPLAY_NAME;
  readonly capabilities: ProviderCapabilities = {
    kinds: [...MACHINE_KINDS, ...SYSTEM_KINDS],
    levels: OFFERED_LEVELS,
    consistencies: ['offline', 'crash', 'quiesced', 'memory'],
    restoreModes: OFFERED_MODES,
    canBrowse: true,
    canEstimate: true,
    canReconcile: true,
    advisedBackups: [
      {
        source: 'pool/metadata',
        everyHours: 24,
        why: 'Without it a lost pool comes back without its networks, storage and settings.',
      },
    ],
  };

  constructor(@inject(SourceOpener) private readonly opener: SourceOpener) {}

  get configSchema(): JsonSchema {
    return this.opener.configSchema;
  }

  open(client: ClientConfig, signal?: AbortSignal): Promise<BackupSource> {
    return this.opener.open(client, signal);
  }

  readDisk(request: DiskReadRequest, media: RestoreMedia): Promise<OpenedItem> {
    return readSavedDisk(request, media);
  }
}
