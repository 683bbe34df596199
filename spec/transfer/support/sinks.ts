import { Writable } from 'node:stream';

/** A sink that gathers, and tells how it ended. */
export class Gathering extends Writable {
  readonly pieces: Buffer[] = [];
  ending: 'open' | 'finished' | 'destroyed' = 'open';

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error) => void): void {
    this.pieces.push(chunk);
    callback();
  }

  override _final(callback: () => void): void {
    this.ending = 'finished';
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (this.ending === 'open') this.ending = 'destroyed';
    callback(error);
  }
}

/** A sink that keeps every callback until the spec calls it. */
export class Holding extends Writable {
  readonly waiting: ((error?: Error) => void)[] = [];

  constructor() {
    super({ highWaterMark: 1 });
  }

  override _write(_chunk: Buffer, _encoding: string, callback: (error?: Error) => void): void {
    this.waiting.push(callback);
  }

  override _final(callback: (error?: Error) => void): void {
    this.waiting.push(callback);
  }
}
