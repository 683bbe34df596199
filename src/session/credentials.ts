import { inspect } from 'node:util';

const HIDDEN = '<hidden>';

/** User name and password of a client. The password shows only through `reveal()`: not in JSON, logs, or `inspect`. */
export class Credentials {
  readonly username: string;
  readonly #password: string;

  constructor(username: string, password: string) {
    this.username = username;
    this.#password = password;
  }

  /** The password itself. Only for the login call. */
  reveal(): string {
    return this.#password;
  }

  toJSON(): Readonly<Record<string, string>> {
    return { username: this.username, password: HIDDEN };
  }

  toString(): string {
    return `${this.username}:${HIDDEN}`;
  }

  [inspect.custom](): string {
    return `Credentials(${this.toString()})`;
  }
}
