import { lookup } from 'node:dns/promises';
import { inject, injectable } from 'inversify';
import { hostPath, parseHostName, resolveClientHost, resolveHost } from '../browser/pool-source-name.js';
import {
  BackupError,
  type BackupEstimate,
  type BackupReport,
  type BackupRequest,
  type BackupSink,
  type ResolvedSource,
  type SavesetRecord,
} from '../contract/index.js';
import { HostArchiveReader, type HostArchiveSummary } from '../format/host-archive-reader.js';
import { HOST_ITEM, type HostDetails, RUNBOOK_ITEM } from '../format/pool-details.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { PoolConnection } from '../session/pool-connection.js';
import { unreachableHost, whyUnreachable } from '../session/unreachable-host.js';
import { type HostRecord } from '../xapi/xapi-records.js';
import { type BackupHandler, type BackupProgressEvent } from './backup-handler.js';
import { parseFullOnly } from './backup-options.js';
import { type ItemBackup, ItemBackupRunner } from './item-backup-runner.js';
import { hostFacts, isLive, loadPoolFacts, type PoolFacts, releaseOf } from './pool-facts.js';
import { hostRunbook } from './runbook.js';

const NOT_LIVE = 'the pool does not hear of it, so it is down or cut off';

/** The control domain of a host, made by the host itself. */
@injectable()
export class HostBackupHandler implements BackupHandler {
  readonly kind = 'host';

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(ItemBackupRunner) private readonly runner: ItemBackupRunner,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
  ) {}

  async resolve(typed: string, signal?: AbortSignal): Promise<ResolvedSource | undefined> {
    const name = parseHostName(typed);
    if (name === undefined) return undefined;
    const { hosts } = await loadPoolFacts(this.pool, signal);
    if (name.way === 'named') return toResolvedSource(resolveHost(name.text, hosts.values()));
    if (name.way === 'client') return toResolvedSource(await this.#clientHost(hosts.values()));
    const [only, second] = hosts.values();
    if (only !== undefined && second === undefined) return toResolvedSource(only);
    const candidates = [...hosts.values()];
    throw new BackupError('OBJECT_AMBIGUOUS', `"${typed}" stands for ${candidates.length} hosts.`, {
      hint: `One backup saves one host: ${candidates.map(hostPath).join(', ')}.`,
      context: { source: typed, candidates: candidates.map(({ uuid }) => uuid) },
    });
  }

  /** All members; those that can't be reached say so and are left out. */
  async expand(pattern: string, signal?: AbortSignal): Promise<readonly ResolvedSource[] | undefined> {
    if (parseHostName(pattern)?.way !== 'all') return undefined;
    const facts = await loadPoolFacts(this.pool, signal);
    const hosts = [...facts.hosts.values()].sort((a, b) => (a.name_label < b.name_label ? -1 : 1));
    return await Promise.all(
      hosts.map(async (host) => {
        const skipReason = await this.#unreachable(facts, host, signal);
        return {
          ...toResolvedSource(host),
          ...(skipReason === undefined ? {} : { skipReason, isSkippedByTrouble: true }),
        };
      }),
    );
  }

  /** The archive is made while it is sent. */
  estimate(source: ResolvedSource, request: BackupRequest): Promise<BackupEstimate> {
    parseFullOnly(request);
    return Promise.resolve({ source, level: 'full', expectedBytes: 0, expectedIs: 'unknown', disks: [] });
  }

  backup(
    source: ResolvedSource,
    request: BackupRequest,
    sink: BackupSink,
    emit: (event: BackupProgressEvent) => void,
    signal: AbortSignal,
  ): Promise<BackupReport> {
    const order = { source, request, sink, emit, signal };
    return this.runner.run(
      order,
      async (facts) => {
        const host = resolveHost(source.id, facts.hosts.values());
        const what = `The host "${host.name_label}" can't be saved`;
        if (!isLive(facts, host)) {
          throw new BackupError('SOURCE_UNREACHABLE', `${what}: ${NOT_LIVE}.`, {
            hint: 'Start the host, or look at the network between it and this machine.',
            isRetriable: true,
            context: { host: host.uuid, address: host.address },
          });
        }
        const trouble = await this.pool.troubleReaching(host.uuid, signal);
        if (trouble !== undefined) throw unreachableHost(what, host, trouble);
      },
      (backup) => this.#save(backup, resolveHost(source.id, backup.facts.hosts.values())),
    );
  }

  async #save(backup: ItemBackup, host: HostRecord): Promise<SavesetRecord['details']> {
    const readers: HostArchiveReader[] = [];
    let summary: HostArchiveSummary | undefined;
    try {
      await backup.save(() => {
        const archive = new HostArchiveReader();
        readers.push(archive);
        return {
          name: HOST_ITEM,
          kind: 'host-archive',
          mediaType: 'application/gzip',
          title: `control domain of ${host.name_label}`,
          path: '/host_backup',
          query: {},
          member: host.uuid,
          check: {
            push: (chunk) => archive.push(chunk),
            end: async () => {
              summary = await archive.end();
              assertOfHost(summary, host);
            },
          },
        };
      });
    } finally {
      for (const archive of readers) archive.destroy();
    }
    const details = hostDetails(backup.facts, host, summary);
    const runbook = hostRunbook(details, new Date(backup.startedAtMs).toISOString());
    await backup.write({ name: RUNBOOK_ITEM, kind: 'runbook', mediaType: 'text/plain; charset=utf-8' }, runbook);
    return { ...details, runbook };
  }

  /** Why a member can't be saved now: a sentence's end. */
  async #unreachable(facts: PoolFacts, host: HostRecord, signal?: AbortSignal): Promise<string | undefined> {
    if (!isLive(facts, host)) return NOT_LIVE;
    const trouble = await this.pool.troubleReaching(host.uuid, signal);
    return trouble === undefined ? undefined : whyUnreachable(host, trouble);
  }

  async #clientHost(hosts: Iterable<HostRecord>): Promise<HostRecord> {
    const { host } = this.settings.endpoint;
    // A name that nobody knows any more is compared as it is.
    const found = await lookup(host, { all: true }).catch(() => []);
    return resolveClientHost(
      host,
      found.map(({ address }) => address),
      hosts,
    );
  }
}

function toResolvedSource(host: HostRecord): ResolvedSource {
  return { path: hostPath(host), kind: 'host', id: host.uuid, displayName: host.name_label };
}

/** @throws {BackupError} DATA_DAMAGED when another host's archive came. */
function assertOfHost({ hostId }: HostArchiveSummary, { uuid, name_label: name }: HostRecord): void {
  if (hostId === uuid) return;
  throw new BackupError('DATA_DAMAGED', `The archive that "${name}" gave out is of another host.`, {
    hint: 'Two hosts may share an address. Check the addresses of all hosts of the pool.',
    context: { expected: uuid, found: hostId },
  });
}

function hostDetails(
  { coordinator }: PoolFacts,
  host: HostRecord,
  archive: HostArchiveSummary | undefined,
): Omit<HostDetails, 'runbook'> {
  return {
    version: 1,
    host: hostFacts(host),
    isCoordinator: host.uuid === coordinator.uuid,
    archive: {
      members: archive?.members ?? 0,
      unpackedBytes: archive?.unpackedBytes ?? 0,
      productVersion: archive?.productVersion ?? '',
    },
    release: releaseOf(host),
  };
}
