import { inspect } from 'node:util';
import { type ServiceIdentifier } from 'inversify';
import { BackupError } from '../contract/backup-error.js';
import { type HostLogger } from '../contract/host-services.js';

const HIDDEN = '<hidden>';
const SECRET_KEYS = /^(pass(word|wd)?|secret|session([_-]?(id|ref|reference))?|authorization|cookie)$/i;
/** Shorter secrets are not searched for in texts: hiding every `a` shreds a log and gives the secret away. */
const MIN_SECRET_LENGTH = 4;
const MAX_DEPTH = 6;

/** Takes secrets out of what is logged. Knows the secrets it was told, and the shapes that session references travel in. */
export class Redactor {
  readonly #secrets = new Set<string>();

  /** Remembers a password or a session reference. */
  addSecret(secret: string): void {
    if (secret.length < MIN_SECRET_LENGTH) return;
    this.#secrets.add(secret);
    this.#secrets.add(encodeURIComponent(secret));
  }

  text(value: string): string {
    let result = value.replace(/\b(session_id=)[^&;\s"']+/gi, `$1${HIDDEN}`);
    for (const secret of this.#secrets) result = result.replaceAll(secret, HIDDEN);
    return result;
  }

  /** A copy for the log: secrets hidden in keys and texts, errors as plain fields. */
  fields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
    return Object.fromEntries(
      Object.entries(fields).map(([key, value]) => [key, SECRET_KEYS.test(key) ? HIDDEN : this.#value(value, 0)]),
    );
  }

  /** An error that may leave the plugin: itself when it holds no secret, else told again without. */
  error(error: BackupError): BackupError {
    const told = inspect(error, { depth: MAX_DEPTH, maxStringLength: null, maxArrayLength: null });
    if (this.text(told) === told) return error;
    const { code, message, hint, isRetriable, context, cause } = error;
    return new BackupError(code, this.text(message), {
      isRetriable,
      context: this.fields(context) as BackupError['context'],
      cause: this.#value(cause, 0),
      ...(hint === undefined ? {} : { hint: this.text(hint) }),
    });
  }

  #value(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.text(value);
    if (typeof value !== 'object' || value === null) return value;
    if (depth >= MAX_DEPTH) return '...';
    if (value instanceof Error) {
      const { name, message, code } = value as Error & { code?: unknown };
      return {
        name,
        message: this.text(message),
        ...(code === undefined ? {} : { code: this.#value(code, depth + 1) }),
      };
    }
    if (Array.isArray(value)) return value.map((element) => this.#value(element, depth + 1));
    if (isSerialisable(value)) return this.#value(value.toJSON(), depth + 1);
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [
        key,
        SECRET_KEYS.test(key) ? HIDDEN : this.#value(inner, depth + 1),
      ]),
    );
  }
}

function isSerialisable(value: object): value is { toJSON(): unknown } {
  return 'toJSON' in value && typeof value.toJSON === 'function';
}

/** The host's logger, with secrets taken out of messages and fields. */
export function redactingLogger(logger: HostLogger, redactor: Redactor): HostLogger {
  const say =
    (level: 'error' | 'warn' | 'info' | 'debug') =>
    (message: string, fields?: Readonly<Record<string, unknown>>): unknown =>
      logger[level](redactor.text(message), ...(fields === undefined ? [] : [redactor.fields(fields)]));
  return {
    child: (labels) => redactingLogger(logger.child(labels), redactor),
    error: say('error'),
    warn: say('warn'),
    info: say('info'),
    debug: say('debug'),
  };
}

/** The logger that the parts of the plugin use: `redactingLogger(...)` bound for one client. */
export const RedactedLogger = Symbol('RedactedLogger') as ServiceIdentifier<HostLogger>;
