import { access, mkdir, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Clock, systemClock } from '../../common/clock.js';
import {
  BackupError,
  parseSavesetRecord,
  type ResolvedSource,
  type RestoreMedia,
  type SavesetRecord,
} from '../../contract/index.js';
import { systemCode, toHostError } from '../to-host-error.js';
import { openNewFile, type OpenItemHandle } from './item-file.js';
import { findItemFile } from './find-item-file.js';
import { type Compression, packerFor } from './item-compression.js';
import { latestOf } from './latest-saveset.js';
import { byAge, type KeepRules, planPrune, type PrunePlan } from './prune-plan.js';
import {
  createRepository,
  emptyTrash,
  hideSavesetFolder,
  readIdentity,
  RECORD_FILE,
  removeSavesetFolder,
  type RepositoryIdentity,
  savesetFolder,
  savesetIds,
} from './repository-layout.js';
import { ancestorsOf, historyOf } from './saveset-chain.js';
import { dropDeadLease, isAbandoned } from './saveset-lease.js';
import { SavesetWriter } from './saveset-writer.js';
import { openStoredItem } from './stored-item.js';
import { toMediumError } from './to-medium-error.js';
import { type ItemVerdict, verifyItem } from './verify-item.js';

export interface RepositoryOptions {
  /** Identity of this host installation, for a repository that is made; any when absent. */
  readonly hostId?: string;
  readonly clock?: Clock;
  readonly openHandle?: OpenItemHandle;
  /** How new savesets are stored; all that are there can be read, whatever this says. Default: none. */
  readonly compression?: Compression;
}

export interface DamagedSaveset {
  readonly savesetId: string;
  readonly error: BackupError;
}

export interface SavesetList {
  /** Oldest first. */
  readonly records: readonly SavesetRecord[];
  /** Finished savesets whose record cannot be read. */
  readonly damaged: readonly DamagedSaveset[];
}

export interface StoredAs {
  readonly bytes: number;
  readonly compression: Compression;
}

interface ListedRecord {
  /** Another one after every change of the file. */
  readonly stamp: string | undefined;
  readonly record: SavesetRecord;
}

/** Savesets in a directory; `repository-layout.ts` draws it. Many processes may use it at once. */
export class DirectoryRepository {
  /** A run that saves many machines lists the repository for each: a record that is still the same is read once. */
  #listed: ReadonlyMap<string, ListedRecord> = new Map();

  private constructor(
    readonly path: string,
    readonly identity: RepositoryIdentity,
    private readonly clock: Clock,
    private readonly openHandle: OpenItemHandle,
    private readonly compression: Compression,
  ) {}

  /**
   * Opens a repository; with `create` a missing or empty folder becomes one.
   * @throws {BackupError} CONFIG_INVALID, MEDIUM_FAILED, MEDIUM_FULL
   */
  static async open(
    folder: string,
    {
      create = false,
      clock = systemClock,
      openHandle = openNewFile,
      compression = 'none',
      hostId,
    }: RepositoryOptions & { create?: boolean } = {},
  ): Promise<DirectoryRepository> {
    const path = resolve(folder);
    try {
      const identity = create ? await createRepository(path, hostId) : await readIdentity(path);
      if (identity !== undefined) return new DirectoryRepository(path, identity, clock, openHandle, compression);
    } catch (error) {
      throw toMediumError(error, path);
    }
    throw new BackupError('CONFIG_INVALID', `There is no repository at ${path}.`, {
      hint: 'Name it with --repository or XEN_BACKUP_REPOSITORY; the first backup makes it.',
      context: { path },
    });
  }

  /**
   * Begins a saveset, after sweeping what crashed runs left.
   * @throws {BackupError} REQUEST_INVALID for an id that is unusable; TARGET_EXISTS; MEDIUM_FULL, MEDIUM_FAILED;
   *   CONFIG_INVALID when nothing here compresses as wished
   */
  async begin(savesetId: string): Promise<SavesetWriter> {
    const folder = savesetFolder(this.path, savesetId);
    const { clock, openHandle, compression } = this;
    const packer = await packerFor(compression);
    try {
      await this.sweep();
      await mkdir(folder, { mode: 0o700 });
      return await SavesetWriter.begin(savesetId, folder, { clock, openHandle, compression, packer });
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw toMediumError(error, folder);
      throw new BackupError('TARGET_EXISTS', `The saveset ${savesetId} exists already.`, { context: { savesetId } });
    }
  }

  /** Every finished saveset. What is unfinished is not listed. */
  async list(): Promise<SavesetList> {
    const records: SavesetRecord[] = [];
    const damaged: DamagedSaveset[] = [];
    const listed = new Map<string, ListedRecord>();
    for (const savesetId of (await savesetIds(this.path)).toSorted()) {
      try {
        const stamp = await stampOf(savesetFolder(this.path, savesetId));
        const known = this.#listed.get(savesetId);
        const record = stamp !== undefined && known?.stamp === stamp ? known.record : await this.read(savesetId);
        listed.set(savesetId, { stamp, record });
        records.push(record);
      } catch (error) {
        const known = toHostError(error);
        if (known.code !== 'SAVESET_NOT_FOUND') damaged.push({ savesetId, error: known });
      }
    }
    this.#listed = listed;
    return { records: records.sort(byAge), damaged };
  }

  /** @throws {BackupError} REQUEST_INVALID, SAVESET_NOT_FOUND, SAVESET_INVALID, MEDIUM_FAILED */
  async read(savesetId: string): Promise<SavesetRecord> {
    const folder = savesetFolder(this.path, savesetId);
    let text: string;
    try {
      text = await readFile(join(folder, RECORD_FILE), 'utf8');
    } catch (error) {
      if (systemCode(error) === 'ENOENT') throw notFound(savesetId);
      throw toMediumError(error, folder);
    }
    const record = parseSavesetRecord(text);
    if (record.savesetId === savesetId) return record;
    throw new BackupError('SAVESET_INVALID', `The record in ${savesetId} is that of ${record.savesetId}.`, {
      hint: 'Somebody renamed or copied the folder. Give it its own name back.',
    });
  }

  /**
   * A saveset by id, or the newest one of a source by `latest:<path, id or name>`. A name that savesets of several sources
   * bear picks none of them: a restore of the wrong one could not be taken back.
   * @throws {BackupError} as `read`; OBJECT_AMBIGUOUS with the candidates.
   */
  async find(reference: string): Promise<SavesetRecord> {
    if (!reference.startsWith('latest:')) return this.read(reference);
    const wanted = reference.slice('latest:'.length);
    const { records } = await this.list();
    return latestOf(records, wanted);
  }

  /** The savesets of a source that its next backup may build on, oldest first. */
  async historyOf(target: ResolvedSource): Promise<readonly SavesetRecord[]> {
    return historyOf((await this.list()).records, target);
  }

  /**
   * What a restore reads. An item that is missing or of another size than recorded is DATA_DAMAGED at once.
   * @throws {BackupError} as `read`; CHAIN_BROKEN when something that it builds on is missing.
   */
  async openMedia(savesetId: string): Promise<RestoreMedia> {
    const record = await this.read(savesetId);
    const ancestors = await this.#ancestorsOf(record);
    const members = new Map([record, ...ancestors].map((member) => [member.savesetId, member]));
    return {
      record,
      ancestors,
      openItem: (name, signal, memberId = savesetId) => {
        const member = members.get(memberId);
        if (member === undefined) throw notFound(memberId);
        return openStoredItem(savesetFolder(this.path, memberId), member, name, signal);
      },
    };
  }

  /** What the item's file takes, and how it is packed; undefined when it can't be looked at. */
  async storedAs(savesetId: string, item: string): Promise<StoredAs | undefined> {
    try {
      const { handle, compression } = await findItemFile(savesetFolder(this.path, savesetId), item);
      const { size } = await handle.stat().finally(() => handle.close());
      return { bytes: size, compression };
    } catch {
      return undefined;
    }
  }

  /** Reads every item again; one verdict each, in the record's order. */
  async *verify(
    record: SavesetRecord,
    { signal, onBytes }: { signal?: AbortSignal; onBytes?: (item: string, doneBytes: number) => void } = {},
  ): AsyncGenerator<ItemVerdict, void, undefined> {
    const folder = savesetFolder(this.path, record.savesetId);
    for (const item of record.items) {
      signal?.throwIfAborted();
      yield await verifyItem(folder, item, signal, (doneBytes) => onBytes?.(item.name, doneBytes));
    }
  }

  /** @throws {BackupError} SAVESET_NOT_FOUND; REQUEST_INVALID when another saveset builds on it. */
  async delete(savesetId: string): Promise<void> {
    const { records, damaged } = await this.list();
    const children = records.filter(({ parentSavesetId }) => parentSavesetId === savesetId);
    if (children.length > 0) {
      const ids = children.map((child) => child.savesetId);
      throw new BackupError('REQUEST_INVALID', `${savesetId} is still needed by ${ids.join(', ')}.`, {
        hint: 'Delete those first.',
        context: { children: ids },
      });
    }
    const all = [...records, ...damaged].map((entry) => entry.savesetId);
    if (!all.includes(savesetId)) throw notFound(savesetId);
    await this.#remove(savesetId);
  }

  /** Keeps what the rules say of each source; damaged ones are never touched. With `dryRun` only says what it would do. */
  async prune(rules: KeepRules, { dryRun = false } = {}): Promise<PrunePlan> {
    const { records, damaged } = await this.list();
    const plan = planPrune(records, rules, new Set(damaged.map(({ savesetId }) => savesetId)));
    if (dryRun) return plan;
    // Newest first: an increment goes before what it builds on, so that a crash leaves no orphan. All are out of sight at
    // once: removing their data takes its time, in which a running backup must not end that builds on one of them.
    for (const { savesetId } of plan.remove.toReversed()) {
      await this.#takeAway(savesetId, () => hideSavesetFolder(this.path, savesetId));
    }
    await emptyTrash(this.path);
    return plan;
  }

  /** Removes unfinished savesets that nobody writes any more, and leases that finished ones have left; returns the ids of the former. */
  async sweep(): Promise<readonly string[]> {
    await emptyTrash(this.path);
    const swept: string[] = [];
    for (const savesetId of await savesetIds(this.path)) {
      const folder = savesetFolder(this.path, savesetId);
      if (await hasRecord(folder)) await dropDeadLease(folder, this.clock.nowMs());
      else if (await isAbandoned(folder, this.clock.nowMs()).catch(() => false)) {
        await this.#remove(savesetId);
        swept.push(savesetId);
      }
    }
    return swept;
  }

  async #ancestorsOf(record: SavesetRecord): Promise<readonly SavesetRecord[]> {
    const byId = new Map<string, SavesetRecord>();
    for (let { parentSavesetId: next } = record; next !== undefined && !byId.has(next);) {
      // One that can't be read, whatever the reason, is missing in the chain.
      const member: SavesetRecord | undefined = await this.read(next).catch(() => undefined);
      if (member === undefined) break;
      byId.set(next, member);
      next = member.parentSavesetId;
    }
    return ancestorsOf(record, byId);
  }

  async #remove(savesetId: string): Promise<void> {
    await this.#takeAway(savesetId, () => removeSavesetFolder(this.path, savesetId));
  }

  /** Another process may have removed it in the same moment. */
  async #takeAway(savesetId: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw toMediumError(error, savesetFolder(this.path, savesetId));
    }
  }
}

/** What can't be looked at is not taken for missing. */
async function hasRecord(folder: string): Promise<boolean> {
  return await access(join(folder, RECORD_FILE)).then(
    () => true,
    (error: unknown) => systemCode(error) !== 'ENOENT',
  );
}

async function stampOf(folder: string): Promise<string | undefined> {
  return await stat(join(folder, RECORD_FILE), { bigint: true }).then(
    ({ ino, size, mtimeNs }) => `${ino}/${size}/${mtimeNs}`,
    () => undefined,
  );
}

function notFound(reference: string): BackupError {
  return new BackupError('SAVESET_NOT_FOUND', `There is no saveset ${reference}.`, {
    hint: '"xen-backup list" shows the savesets of the repository.',
    context: { saveset: reference },
  });
}
