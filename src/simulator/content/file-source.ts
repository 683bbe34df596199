import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { SimulatedFailure } from '../simulated-failure.js';
import { type ByteSource } from './byte-source.js';

/** A file of the user's as the content of a disk, read where it is asked for and never as a whole; zero past its end. */
export class FileSource implements ByteSource {
  readonly #path: string;
  readonly #name: string;
  readonly sizeBytes: number;

  /** Looks at the file at once. Throws SR_BACKEND_FAILURE_46 when it cannot be read. */
  constructor(path: string) {
    this.#path = path;
    try {
      const status = statSync(path);
      this.sizeBytes = status.size;
      this.#name = `file:${path}:${status.size}:${status.mtimeMs}`;
    } catch (error) {
      throw unreadable(path, error);
    }
  }

  /** Opens, reads and closes: a descriptor kept open would have to outlive every clone of the disk. */
  fill(target: Buffer, offset: number): void {
    let done = 0;
    try {
      const descriptor = openSync(this.#path, 'r');
      try {
        while (done < target.length && offset + done < this.sizeBytes) {
          const count = readSync(descriptor, target, done, target.length - done, offset + done);
          if (count === 0) break;
          done += count;
        }
      } finally {
        closeSync(descriptor);
      }
    } catch (error) {
      throw unreadable(this.#path, error);
    }
    target.fill(0, done);
  }

  isKnownZero(offset: number): boolean {
    return offset >= this.sizeBytes;
  }

  nameOf(offset: number): string {
    return `${this.#name}@${offset}`;
  }

  allocatedBytes(sizeBytes: number): number {
    return Math.min(sizeBytes, this.sizeBytes);
  }
}

function unreadable(path: string, error: unknown): SimulatedFailure {
  const reason = error instanceof Error ? error.message : String(error);
  return new SimulatedFailure('SR_BACKEND_FAILURE_46', ['', `The VDI is not available [opterr=${path}]`, reason]);
}
