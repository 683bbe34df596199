import { DiskContent } from '../../../src/simulator/content/disk-content.js';

type Read = (this: DiskContent, target: Buffer, offset: number) => void;

/**
 * Counts the bytes that anybody reads of the disks of simulated pools, by the name of the disk. Looks on and changes
 * nothing; `stop` ends it.
 */
export class PoolReads {
  readonly #bytes = new Map<string, number>();
  readonly #original: Read = Reflect.get(DiskContent.prototype, 'readInto');
  #isPaused = false;

  constructor(nameOf: (content: DiskContent) => string | undefined) {
    const names = new WeakMap<DiskContent, string>();
    const original = this.#original;
    const note = (content: DiskContent, bytes: number): void => {
      if (this.#isPaused) return;
      const name = names.get(content) ?? nameOf(content) ?? '';
      names.set(content, name);
      this.#bytes.set(name, this.of(name) + bytes);
    };
    const counted: Read = function (target, offset) {
      note(this, target.length);
      original.call(this, target, offset);
    };
    Reflect.set(DiskContent.prototype, 'readInto', counted);
  }

  of(name: string): number {
    return this.#bytes.get(name) ?? 0;
  }

  /** Does something that is not to be counted. */
  without(work: () => void): void {
    this.#isPaused = true;
    work();
    this.#isPaused = false;
  }

  stop(): void {
    Reflect.set(DiskContent.prototype, 'readInto', this.#original);
  }
}
