import { Writable } from 'node:stream';

/** A stream that keeps what is written to it; it may pass for a terminal. */
export class CapturedStream extends Writable {
  readonly columns = 120;
  text = '';

  constructor(readonly isTTY = false) {
    super({ decodeStrings: false });
  }

  override _write(chunk: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }

  get lines(): string[] {
    return this.text.split('\n').slice(0, -1);
  }

  /** Each line as JSON; throws when one is not. */
  get events(): Record<string, unknown>[] {
    return this.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

/** The types of the events that were written, in order. */
export const typesOf = ({ events }: CapturedStream): unknown[] => events.map(({ type }) => type);

/** The error in the last event. */
export const failure = ({ events }: CapturedStream): Record<string, unknown> =>
  (events.at(-1) as { error: Record<string, unknown> }).error;
