import { Writable } from 'node:stream';
import winston from 'winston';
import { type HostServices } from '../contract/index.js';
import { type Redactor } from './redaction.js';
import { resolveSecretReference, type SecretSources } from './secret-references.js';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

export interface HostServicesOptions extends SecretSources {
  readonly hostId: string;
  readonly logLevel: LogLevel;
  readonly redactor: Redactor;
  /** Takes one log line, without a line break at its end. */
  readonly writeLog: (line: string) => void;
}

/** What plugins get: a winston logger that redacts, secrets by reference, the id of this host. */
export function createHostServices({
  hostId,
  logLevel,
  redactor,
  writeLog,
  ...sources
}: HostServicesOptions): HostServices {
  const stream = new Writable({
    decodeStrings: false,
    write: (line: string, _encoding, done) => {
      writeLog(line.replace(/\n$/, ''));
      done();
    },
  });
  // winston's types call its own transports interfaces, so the type system does not see that this is one.
  const transport: object = new winston.transports.Stream({ stream });
  const logger = winston.createLogger({
    level: logLevel,
    format: winston.format.combine(winston.format.timestamp(), logLine(redactor)),
    transports: transport as winston.transport,
  });
  return {
    logger,
    hostId,
    resolveSecret: async (reference) => {
      const secret = await resolveSecretReference(reference, sources);
      redactor.add(secret);
      return secret;
    },
  };
}

/** `2026-01-02T03:04:05.678Z warn  message {"field":1}`, secrets taken out. */
function logLine(redactor: Redactor): winston.Logform.Format {
  return winston.format.printf(({ timestamp, level, message, ...fields }) => {
    const rest = Object.keys(fields).length === 0 ? '' : ` ${JSON.stringify(redactor.value(fields))}`;
    return `${String(timestamp)} ${level.padEnd(5)} ${redactor.text(String(message))}${rest}`;
  });
}
