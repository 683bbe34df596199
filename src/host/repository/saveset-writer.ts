import { access, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Writable } from 'node:stream';
import {
  BackupError,
  type BackupSink,
  type ItemDescriptor,
  parseSavesetRecord,
  type SavesetRecord,
} from '../../contract/index.js';
import { type Clock } from '../../common/clock.js';
import { destroyed } from './destroyed.js';
import { syncFolder, writeDurably } from './durable-file.js';
import { type Compression, FILE_ENDINGS, type Packer } from './item-compression.js';
import { openItemFile, type OpenItemHandle } from './item-file.js';
import { packedInto } from './packed-item.js';
import { RECORD_FILE } from './repository-layout.js';
import { holdLease, LEASE_FILE } from './saveset-lease.js';
import { toMediumError } from './to-medium-error.js';

const ITEM_NAME = /^[a-z0-9][a-z0-9._-]{0,127}$/i;

export interface SavesetWriterOptions {
  readonly clock: Clock;
  readonly openHandle: OpenItemHandle;
  /** How its items are stored, and by what. */
  readonly compression: Compression;
  readonly packer: Packer | undefined;
}

/** One saveset while it is written. It exists for readers only after `commit`. */
export class SavesetWriter {
  readonly sink: BackupSink = {
    maxOpenItems: 8,
    canReopenItems: true,
    keepsNoBuffers: true,
    openItem: (item, signal) => this.#openItem(item, signal),
  };
  readonly #stored = new Map<string, number>();
  readonly #names = new Set<string>();
  readonly #open = new Map<string, Writable>();
  #failure: BackupError | undefined;

  private constructor(
    readonly savesetId: string,
    readonly folder: string,
    private readonly options: SavesetWriterOptions,
    private readonly releaseLease: () => void,
  ) {}

  /** Begins in a folder that exists and is empty. */
  static async begin(savesetId: string, folder: string, options: SavesetWriterOptions): Promise<SavesetWriter> {
    const releaseLease = await holdLease(folder, options.clock);
    return new SavesetWriter(savesetId, folder, options, releaseLease);
  }

  /** What the medium itself failed with first; better than what a source makes of it. */
  get failure(): BackupError | undefined {
    return this.#failure;
  }

  /**
   * Makes the saveset exist. The items are on the disk already; the record is written last.
   * @throws {BackupError} SAVESET_INVALID when the record is not about exactly the items that were written; CHAIN_BROKEN;
   *   MEDIUM_FULL, MEDIUM_FAILED.
   */
  async commit(given: SavesetRecord): Promise<void> {
    const record = parseSavesetRecord(given);
    this.#mustFit(record);
    await this.#mustHaveParent(record);
    try {
      await writeDurably(join(this.folder, RECORD_FILE), `${JSON.stringify(record, undefined, 2)}\n`);
      this.releaseLease();
      await rm(join(this.folder, LEASE_FILE), { force: true });
      await syncFolder(dirname(this.folder));
    } catch (error) {
      throw toMediumError(error, this.folder);
    }
    // Who removes the parent from now on sees this one; who did so in between did not.
    await this.#mustHaveParent(record);
  }

  /** Somebody may have removed it while this one was made. */
  async #mustHaveParent({ parentSavesetId: parent }: SavesetRecord): Promise<void> {
    if (parent === undefined) return;
    const found = await access(join(dirname(this.folder), parent, RECORD_FILE)).then(
      () => true,
      () => false,
    );
    if (found) return;
    throw new BackupError('CHAIN_BROKEN', `${this.savesetId} builds on ${parent}, which has gone meanwhile.`, {
      hint: 'Back it up again: without what it built on, it becomes a full.',
      isRetriable: true,
      context: { savesetId: this.savesetId, member: parent },
    });
  }

  /** Removes everything that was written. */
  async discard(): Promise<void> {
    this.releaseLease();
    await Promise.all([...this.#open.values()].map(destroyed));
    // The record first, should it be there already: a folder that is half gone must not be listed.
    await rm(join(this.folder, RECORD_FILE), { force: true });
    // The lease last: items without record and lease are taken for a saveset that lost its record.
    const names = await readdir(this.folder).catch(() => []);
    for (const name of names)
      if (name !== LEASE_FILE) await rm(join(this.folder, name), { recursive: true, force: true });
    await rm(this.folder, { recursive: true, force: true });
  }

  async #openItem({ name }: ItemDescriptor, signal: AbortSignal): Promise<Writable> {
    signal.throwIfAborted();
    const { openHandle, compression, packer } = this.options;
    const fileName = `${name}${FILE_ENDINGS[compression]}`;
    const key = fileName.toLowerCase();
    const isUsable = ITEM_NAME.test(fileName) && !key.endsWith('.partial') && key !== RECORD_FILE;
    const earlier = this.#open.get(key);
    // Given up, but its file is not gone yet.
    if (earlier?.destroyed === true) await destroyed(earlier);
    if (!isUsable || this.#names.has(key)) {
      const why = isUsable ? 'it was written before' : 'it is not usable as a file name';
      throw new BackupError('SAVESET_INVALID', `The item ${name} is refused: ${why}.`, {
        hint: 'This is a fault of the plugin; report it to its author.',
      });
    }
    this.#names.add(key);
    try {
      let packedBytes = 0;
      const file = await openItemFile(this.folder, fileName, openHandle, {
        onStored: (bytes) => this.#stored.set(name, packer === undefined ? bytes : packedBytes),
        onFailure: (error) => {
          this.#failure ??= toMediumError(error, join(this.folder, fileName));
        },
        onClosed: () => {
          this.#open.delete(key);
          if (!this.#stored.has(name)) this.#names.delete(key);
        },
      });
      const onBytes = (bytes: number): void => {
        packedBytes += bytes;
      };
      const stream = packer === undefined ? file : packedInto(file, packer.pack(), onBytes);
      this.#open.set(key, stream);
      return stream;
    } catch (error) {
      this.#failure ??= toMediumError(error, join(this.folder, fileName));
      throw this.#failure;
    }
  }

  #mustFit(record: SavesetRecord): void {
    const told = new Map(record.items.map(({ name, bytes }) => [name, bytes]));
    const problems = [
      ...(record.savesetId === this.savesetId ? [] : [`its id is ${record.savesetId}`]),
      ...[...told].flatMap(([name, bytes]) => {
        const stored = this.#stored.get(name);
        if (stored === bytes) return [];
        return [`${name} has ${bytes} bytes in the record and ${stored ?? 'none'} on the disk`];
      }),
      ...[...this.#stored.keys()].flatMap((name) => (told.has(name) ? [] : [`${name} is missing in the record`])),
    ];
    if (problems.length === 0) return;
    throw new BackupError('SAVESET_INVALID', `The record does not fit what was written: ${problems.join('; ')}.`, {
      hint: 'This is a fault of the plugin; report it to its author.',
    });
  }
}
