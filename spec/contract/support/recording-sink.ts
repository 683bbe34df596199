import { createHash } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import {
  type BackupSink,
  type ItemDescriptor,
  type RestoreMedia,
  type SavesetRecord,
} from '../../../src/contract/index.js';

const SLICE_BYTES = 50_000;

export interface SinkBehaviour {
  /** Turns of the event loop that each write takes; 0: none. */
  readonly turnsPerWrite?: number;
  /** Fails with ENOSPC once so many bytes have come. */
  readonly failAfterBytes?: number;
  /** Runs on each chunk that arrives. */
  readonly onChunk?: (item: string) => void;
  readonly maxOpenItems?: number;
}

/** A medium in memory that notes how it was treated. */
export class RecordingSink implements BackupSink {
  readonly maxOpenItems: number;
  readonly items = new Map<string, Buffer>();
  readonly descriptors: ItemDescriptor[] = [];
  openNow = 0;
  mostOpen = 0;
  /** The most bytes that were waiting in one item's stream. */
  mostBuffered = 0;
  /** Of what was read again, how much came back to be read into. */
  givenBackBytes = 0;
  readonly #behaviour: SinkBehaviour;

  constructor(behaviour: SinkBehaviour = {}) {
    this.#behaviour = behaviour;
    this.maxOpenItems = behaviour.maxOpenItems ?? 1;
  }

  openItem(item: ItemDescriptor): Promise<Writable> {
    const { turnsPerWrite = 0, failAfterBytes = Infinity, onChunk } = this.#behaviour;
    this.descriptors.push(item);
    this.openNow += 1;
    this.mostOpen = Math.max(this.mostOpen, this.openNow);
    const parts: Buffer[] = [];
    let bytes = 0;
    const stream = new Writable({
      highWaterMark: 16 * 1024,
      write: (chunk: Buffer, _encoding, done) => {
        this.mostBuffered = Math.max(this.mostBuffered, stream.writableLength);
        bytes += chunk.length;
        parts.push(Buffer.from(chunk));
        onChunk?.(item.name);
        if (bytes > failAfterBytes) {
          done(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }));
          return;
        }
        afterTurns(turnsPerWrite, done);
      },
      final: (done) => {
        this.items.set(item.name, Buffer.concat(parts));
        done();
      },
      destroy: (error, done) => {
        this.openNow -= 1;
        done(error);
      },
    });
    return Promise.resolve(stream);
  }

  get totalBytes(): number {
    return [...this.items.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /**
   * What was written, as the media of a restore; `damage` may change the bytes of an item, `onSecondSlice` runs when an
   * item was read in part.
   */
  media(
    record: SavesetRecord,
    damage: (bytes: Buffer) => Buffer = (bytes) => bytes,
    onSecondSlice?: () => void,
  ): RestoreMedia {
    return {
      record,
      openItem: (name) => {
        const bytes = damage(Buffer.from(this.items.get(name)!));
        return Promise.resolve({
          stream: Readable.from(slices(bytes, onSecondSlice)),
          bytes: this.items.get(name)!.length,
          giveBack: (piece) => {
            this.givenBackBytes += piece.length;
            // As if the next were read into it.
            piece.fill(0xee);
          },
        });
      },
    };
  }
}

export function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function afterTurns(turns: number, done: () => void): void {
  if (turns <= 0) done();
  else
    setImmediate(() => {
      afterTurns(turns - 1, done);
    });
}

function* slices(bytes: Buffer, onSecond?: () => void): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    if (at === SLICE_BYTES) onSecond?.();
    yield Buffer.from(bytes.subarray(at, at + SLICE_BYTES));
  }
}
