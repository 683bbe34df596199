import { type HostLogger } from '../../src/contract/host-services.js';

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>> | undefined;
}

/** A logger that keeps what it is told. */
export class RecordingLogger implements HostLogger {
  readonly lines: LogLine[];
  readonly labels: Readonly<Record<string, string>>;

  constructor(lines: LogLine[] = [], labels: Readonly<Record<string, string>> = {}) {
    this.lines = lines;
    this.labels = labels;
  }

  child(labels: Readonly<Record<string, string>>): RecordingLogger {
    return new RecordingLogger(this.lines, { ...this.labels, ...labels });
  }

  readonly error = this.#say('error');
  readonly warn = this.#say('warn');
  readonly info = this.#say('info');
  readonly debug = this.#say('debug');

  #say(level: string): (message: string, fields?: Readonly<Record<string, unknown>>) => void {
    return (message, fields) => {
      this.lines.push({ level, message, fields });
    };
  }
}
