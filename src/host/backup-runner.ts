import { randomBytes } from 'node:crypto';
import { lastValueFrom, tap } from 'rxjs';
import { type Clock, systemClock } from '../common/clock.js';
import {
  type BackupEvent,
  type BackupReport,
  type BackupRequest,
  type BackupSource,
  BackupError,
  type ResolvedSource,
} from '../contract/index.js';
import { type DirectoryRepository } from './repository/directory-repository.js';
import { type SavesetWriter } from './repository/saveset-writer.js';
import { toHostError } from './to-host-error.js';

export interface BackupJob {
  readonly source: BackupSource;
  readonly target: ResolvedSource;
  readonly repository: DirectoryRepository;
  readonly request?: Pick<BackupRequest, 'level' | 'options' | 'signal'>;
  readonly savesetId?: string;
  readonly clock?: Clock;
  /** Every event; `completed` only after the saveset is stored and settled. */
  readonly onEvent: (event: BackupEvent) => void;
}

/**
 * One backup into a repository: begin ─▶ back up ─▶ store the record ─▶ settle. Whatever fails before the record is
 * stored leaves nothing in the repository, and the source is told `discarded`.
 * @throws {BackupError} what the source or the repository failed with.
 */
export async function runBackup(job: BackupJob): Promise<BackupReport> {
  const clock = job.clock ?? systemClock;
  const savesetId = job.savesetId ?? newSavesetId(job.target.displayName, clock.nowMs());
  const writer = await job.repository.begin(savesetId);
  const report = await backUpAndStore(job, writer);
  await settleStored(job, report, clock);
  job.onEvent({ type: 'completed', atMs: clock.nowMs(), report });
  return report;
}

/** `<name>-<UTC time>-<random>`: sorts by time within a name and is safe as a folder name. */
export function newSavesetId(displayName: string, nowMs: number, random: Buffer = randomBytes(3)): string {
  const name = displayName
    .normalize('NFKD')
    .replace(/[^A-Za-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 60);
  const time = new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '');
  return `${name === '' ? 'saveset' : name}-${time}-${random.toString('hex')}`;
}

async function backUpAndStore(job: BackupJob, writer: SavesetWriter): Promise<BackupReport> {
  let report: BackupReport | undefined;
  try {
    report = await backUp(job, writer);
    await writer.commit(report.record);
    return report;
  } catch (error) {
    const failure = mostTelling(toHostError(error), writer.failure);
    if (report !== undefined) await job.source.settle(report.record, 'discarded').catch(() => undefined);
    await writer.discard().catch(() => undefined);
    throw failure;
  }
}

async function backUp(
  { source, target, repository, request, onEvent }: BackupJob,
  writer: SavesetWriter,
): Promise<BackupReport> {
  const history = await repository.historyOf(target);
  const events = source.backup({ source: target.path, savesetId: writer.savesetId, history, ...request }, writer.sink);
  const forwarded = events.pipe(
    tap((event) => {
      if (event.type !== 'completed') onEvent(event);
    }),
  );
  const last = await lastValueFrom(forwarded);
  if (last.type === 'completed') return last.report;
  throw new BackupError('INTERNAL', 'The source ended without a report.', {
    hint: 'This is a fault of the plugin; report it to its author.',
  });
}

/** The host knows its own medium best; a cancellation stays one. */
function mostTelling(error: BackupError, ofMedium: BackupError | undefined): BackupError {
  return ofMedium === undefined || error.code === 'CANCELLED' ? error : ofMedium;
}

/** The data is safe by now: a source that cannot note it makes a warning, not a failure. */
async function settleStored({ source, onEvent }: BackupJob, report: BackupReport, clock: Clock): Promise<void> {
  try {
    await source.settle(report.record, 'stored');
  } catch (error) {
    const { code, message } = toHostError(error);
    const reason = `The saveset is stored, but the source could not note it (${code}: ${message}).`;
    onEvent({ type: 'warning', atMs: clock.nowMs(), code: 'SETTLE_FAILED', message: reason });
  }
}
