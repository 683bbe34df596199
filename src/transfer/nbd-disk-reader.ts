import { MIB } from '../common/byte-size.js';
import { NbdBuffers } from './nbd-buffers.js';
import { type NbdLink, NbdLinks, type NbdLinksOptions } from './nbd-links.js';
import { anotherConnectionPays } from './nbd-pace.js';
import { type DiskExtent, type DiskExtents, splitReads } from './disk-extents.js';
import { isTransportError } from '../xapi/transport-error.js';

/** A host takes 16 connections, for all its clients. */
export const MOST_CONNECTIONS = 16;
const DEFAULT_CONNECTIONS = 4;
/** What is asked for or waits to be taken, whatever the disk and the connections: enough for 1.6 GB/s over 10 ms. */
const DEFAULT_WINDOW: ReadWindow = { bytes: 16 * MIB, requests: 256 };
const MAX_TRIES_OF_A_READ = 3;
/** Whether more connections pay is looked at after so much. */
const EPOCH_MS = 100;
const EPOCH_READS = 16;

export interface ReadWindow {
  readonly bytes: number;
  readonly requests: number;
}

/** A part of a disk with its bytes. */
export interface DiskPiece {
  readonly offsetBytes: number;
  readonly data: Buffer;
  /** Gives the buffer back to be filled again: only for who has done with `data` for good. Need not be called. */
  readonly release?: () => void;
}

export interface NbdDiskReaderOptions extends NbdLinksOptions {
  /** What to read. */
  readonly extents: DiskExtents;
  readonly signal: AbortSignal;
  /** Default 4, at most 16. One is opened; others only where they pay. */
  readonly maxConnections?: number;
  readonly window?: ReadWindow;
  /** Told of every piece that is handed out: its length. */
  readonly onBytes?: (bytes: number) => void;
}

export interface ReadCounts {
  /** Handed out. */
  readonly bytes: number;
  readonly pieces: number;
  /** Asked of a server, again after a loss too. */
  readonly requestedBytes: number;
  readonly losses: number;
  readonly mostConnections: number;
  /** False when some of it came in clear. */
  readonly isSecure: boolean;
}

interface Slot {
  readonly offsetBytes: number;
  readonly data: Buffer;
  isDone: boolean;
  tries: number;
}

/**
 * Reads parts of a disk by NBD, in ascending order, in pieces of at most 1 MiB that cross no multiple of 1 MiB. Takes a
 * constant amount ahead of its consumer and no more. When a connection is lost, what it still owed is asked of another
 * one, over other endpoints if need be; nothing that came is read twice. It can be iterated once.
 *
 * Errors: `TransportError`, what `endpoints` throws, the signal's reason.
 */
export class NbdDiskReader implements AsyncIterable<DiskPiece> {
  readonly #options: NbdDiskReaderOptions;
  readonly #window: ReadWindow;
  readonly #maxConnections: number;
  readonly #stopping = new AbortController();
  readonly #signal: AbortSignal;
  readonly #links: NbdLinks;
  readonly #reads: Iterator<DiskExtent, void>;
  readonly #buffers: NbdBuffers;
  /** In the order of the disk: asked for, or come and not yet taken. */
  readonly #slots: Slot[] = [];
  #slotBytes = 0;
  /** Owed by connections that are gone. */
  #orphans: Slot[] = [];
  #lastLoss: Error | undefined;
  #isOpening = false;
  #isGrown = false;
  #isOver = false;
  #epoch = { fromMs: 0, bytes: 0, reads: 0 };
  #paceBefore: number | undefined;
  #failure: Error | undefined;
  #changed: () => void = () => undefined;
  #counts = { bytes: 0, pieces: 0, requestedBytes: 0, losses: 0, mostConnections: 0, isSecure: true };

  constructor(options: NbdDiskReaderOptions) {
    this.#options = options;
    this.#window = options.window ?? DEFAULT_WINDOW;
    this.#buffers = new NbdBuffers(this.#window.bytes);
    this.#maxConnections = Math.min(options.maxConnections ?? DEFAULT_CONNECTIONS, MOST_CONNECTIONS);
    this.#signal = AbortSignal.any([options.signal, this.#stopping.signal]);
    const onLoss = (error: Error): void => {
      this.#counts.losses += 1;
      options.onLoss?.(error);
    };
    this.#links = new NbdLinks({ ...options, onLoss }, this.#signal);
    this.#reads = splitReads(options.extents);
  }

  get counts(): ReadCounts {
    return this.#counts;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<DiskPiece, void, undefined> {
    try {
      if (this.#options.extents.totalBytes === 0) return;
      await this.#links.openFirst();
      this.#noteConnections();
      for (let slot = await this.#next(); slot !== undefined; slot = await this.#next()) {
        const { offsetBytes, data } = slot;
        this.#counts.bytes += data.length;
        this.#counts.pieces += 1;
        this.#options.onBytes?.(data.length);
        yield { offsetBytes, data, release: this.#buffers.releaseOf(data) };
      }
    } finally {
      await this.#close();
    }
  }

  async #next(): Promise<Slot | undefined> {
    for (;;) {
      this.#options.signal.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure;
      this.#fill();
      const [first] = this.#slots;
      if (first === undefined) return undefined;
      if (first.isDone) {
        this.#slots.shift();
        this.#slotBytes -= first.data.length;
        this.#fill();
        return first;
      }
      this.#considerAnother();
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  #fill(): void {
    while (this.#slots.length < this.#window.requests && this.#slotBytes + MIB <= Math.max(this.#window.bytes, MIB)) {
      const { done, value } = this.#reads.next();
      if (done === true) return;
      const { offsetBytes, lengthBytes } = value;
      const slot = { offsetBytes, data: this.#buffers.take(lengthBytes), isDone: false, tries: 0 };
      this.#slots.push(slot);
      this.#slotBytes += lengthBytes;
      this.#ask(slot);
    }
  }

  #ask(slot: Slot): void {
    const link = this.#links.leastBusy();
    if (link === undefined) {
      this.#orphans.push(slot);
      return;
    }
    const { data, offsetBytes } = slot;
    link.waitingBytes += data.length;
    this.#counts.isSecure &&= link.connection.isSecure;
    this.#counts.requestedBytes += data.length;
    link.connection.read(offsetBytes, data).then(
      () => {
        link.waitingBytes -= data.length;
        this.#epoch.bytes += data.length;
        this.#epoch.reads += 1;
        slot.isDone = true;
        this.#links.succeeded();
        this.#changed();
      },
      (error: unknown) => {
        link.waitingBytes -= data.length;
        this.#missed(slot, link, error as Error);
        this.#changed();
      },
    );
  }

  #missed(slot: Slot, link: NbdLink, error: Error): void {
    if (this.#signal.aborted || this.#isOver) return;
    const lost = link.connection.failure;
    if (lost !== undefined) {
      this.#lastLoss = lost;
      this.#links.drop(link, lost);
      this.#orphans.push(slot);
      // The others of this connection fail in this same moment; ask when all are here, in the order of the disk.
      queueMicrotask(() => {
        this.#reclaim();
      });
      return;
    }
    slot.tries += 1;
    if (slot.tries >= MAX_TRIES_OF_A_READ || isTransportError(error, 'protocol')) this.#fail(error);
    else this.#ask(slot);
  }

  /** Asks again for what is owed, over a connection that is there or a new one. */
  #reclaim(): void {
    const reason = this.#lastLoss;
    if (reason === undefined || this.#orphans.length === 0 || this.#signal.aborted || this.#isOver) return;
    if (isTransportError(reason, 'protocol')) {
      this.#fail(reason);
    } else if (this.#links.count > 0) {
      const orphans = this.#orphans.sort((first, second) => first.offsetBytes - second.offsetBytes);
      this.#orphans = [];
      for (const slot of orphans) this.#ask(slot);
    } else if (!this.#isOpening) {
      this.#isOpening = true;
      this.#links
        .openAgain(reason)
        .then(
          () => {
            this.#isOpening = false;
            this.#noteConnections();
            this.#reclaim();
          },
          (error: unknown) => {
            this.#fail(error as Error);
          },
        )
        .finally(() => {
          this.#changed();
        });
    }
  }

  /** Called when the consumer waits for us: only then a faster way would help. */
  #considerAnother(): void {
    const { clock, extents } = this.#options;
    const link = this.#links.leastBusy();
    const nowMs = clock.nowMs();
    if (this.#epoch.fromMs === 0) this.#beginEpoch();
    const elapsedMs = nowMs - this.#epoch.fromMs;
    if (this.#isOpening || this.#isGrown || link === undefined) return;
    if (elapsedMs < EPOCH_MS || this.#epoch.reads < EPOCH_READS) return;
    const bytesPerSecond = (this.#epoch.bytes / elapsedMs) * 1000;
    const pays = anotherConnectionPays({
      roundTripMs: link.connection.roundTripMs,
      bytesPerSecond,
      bytesPerSecondBefore: this.#paceBefore,
      remainingBytes: extents.totalBytes - this.#counts.bytes,
      openingMs: link.openingMs,
      connections: this.#links.count,
      maxConnections: this.#maxConnections,
    });
    if (pays) this.#grow(link, bytesPerSecond);
    else {
      // The last one brought nothing: no use in trying again.
      this.#isGrown = this.#paceBefore !== undefined;
      this.#beginEpoch();
    }
  }

  #grow({ endpoint }: NbdLink, bytesPerSecond: number): void {
    this.#isOpening = true;
    this.#paceBefore = bytesPerSecond;
    this.#links
      .openAnother(endpoint)
      .then(
        () => {
          this.#noteConnections();
        },
        () => {
          // Those that are there do it, too.
          this.#isGrown = true;
        },
      )
      .finally(() => {
        this.#isOpening = false;
        this.#beginEpoch();
        this.#reclaim();
      });
  }

  #beginEpoch(): void {
    this.#epoch = { fromMs: this.#options.clock.nowMs(), bytes: 0, reads: 0 };
  }

  #noteConnections(): void {
    this.#counts.mostConnections = Math.max(this.#counts.mostConnections, this.#links.count);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#changed();
  }

  async #close(): Promise<void> {
    this.#isOver = true;
    // First the farewells: the signal would cut them short.
    await this.#links.close();
    this.#stopping.abort();
    await this.#links.close();
    this.#buffers.clear();
  }
}
