import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { MIB } from '../../common/byte-size.js';
import { syncFolder } from './durable-file.js';

/** So much may wait while the next comes: the medium and the source work at the same time. */
export const MOST_WAITING_BYTES = 4 * MIB;

/** What an item is written through; the part of a Node `FileHandle` that is used. */
export interface ItemHandle {
  writev(chunks: readonly Uint8Array[]): Promise<{ readonly bytesWritten: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Opens a file that must not exist yet, mode 0600. */
export type OpenItemHandle = (path: string) => Promise<ItemHandle>;

export const openNewFile: OpenItemHandle = (path) => open(path, 'wx', 0o600);

export interface ItemFileEvents {
  /** The item is on the disk under its own name. */
  onStored(bytes: number): void;
  /** The medium failed; the stream errors with the same cause. */
  onFailure(error: unknown): void;
  /** Handle closed, and the partial file gone unless the item was stored. */
  onClosed(): void;
}

/**
 * A Writable into `<name>.partial`. `end()` syncs it and gives it its name before `finish` is said; `destroy()` removes it.
 */
export async function openItemFile(
  folder: string,
  name: string,
  openHandle: OpenItemHandle,
  events: ItemFileEvents,
): Promise<Writable> {
  const partialPath = join(folder, `${name}.partial`);
  const handle = await openHandle(partialPath);
  let bytes = 0;
  let isStored = false;

  const write = async (chunks: readonly Buffer[]): Promise<void> => {
    let rest = chunks;
    while (rest.length > 0) {
      const { bytesWritten } = await handle.writev(rest);
      bytes += bytesWritten;
      rest = withoutFirst(rest, bytesWritten);
    }
  };
  const store = async (): Promise<void> => {
    await handle.sync();
    await rename(partialPath, join(folder, name));
    await syncFolder(folder);
    isStored = true;
    events.onStored(bytes);
  };
  const close = async (): Promise<void> => {
    try {
      await handle.close();
      if (!isStored) await rm(partialPath, { force: true });
    } finally {
      events.onClosed();
    }
  };
  const settle = (work: Promise<void>, done: (error?: Error | null) => void): void => {
    work.then(
      () => {
        done();
      },
      (error: unknown) => {
        events.onFailure(error);
        done(error as Error);
      },
    );
  };

  return new Writable({
    highWaterMark: MOST_WAITING_BYTES,
    decodeStrings: true,
    write: (chunk: Buffer, _encoding, done) => {
      settle(write([chunk]), done);
    },
    writev: (chunks, done) => {
      settle(write(chunks.map(({ chunk }) => chunk as Buffer)), done);
    },
    final: (done) => {
      settle(store(), done);
    },
    destroy: (error, done) => {
      close().then(
        () => {
          done(error);
        },
        (cause: unknown) => {
          done(error ?? (cause as Error));
        },
      );
    },
  });
}

/** A short write leaves the rest of the list to be written. */
function withoutFirst(chunks: readonly Buffer[], bytes: number): readonly Buffer[] {
  let skip = bytes;
  const rest: Buffer[] = [];
  for (const chunk of chunks) {
    if (skip >= chunk.length) skip -= chunk.length;
    else {
      rest.push(skip === 0 ? chunk : chunk.subarray(skip));
      skip = 0;
    }
  }
  return rest;
}
