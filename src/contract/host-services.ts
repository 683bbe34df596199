/** The part of a winston logger that a plugin may use. `child` labels one part of the plugin. */
export interface HostLogger {
  child(labels: Readonly<Record<string, string>>): HostLogger;
  error(message: string, fields?: Readonly<Record<string, unknown>>): unknown;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): unknown;
  info(message: string, fields?: Readonly<Record<string, unknown>>): unknown;
  debug(message: string, fields?: Readonly<Record<string, unknown>>): unknown;
}

/** What the host gives a plugin when it activates it. */
export interface HostServices {
  /** A winston logger, or anything with these methods. */
  readonly logger: HostLogger;
  /** Identifies this host installation in marks that the plugin leaves at the source; stable over restarts. */
  readonly hostId: string;
  /**
   * Turns a reference from the configuration (`env:NAME`, `file:/path`, or the host's own store) into the secret.
   * @throws {BackupError} CREDENTIALS_UNAVAILABLE
   */
  resolveSecret(reference: string): Promise<string>;
}
