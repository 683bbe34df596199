import { type BackupErrorCode } from '../../contract/index.js';

/** What the process tells the shell. */
export const EXIT = { done: 0, failed: 1, usage: 2, warnings: 3, cancelled: 130 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The request or the configuration is wrong: trying again unchanged cannot help. */
const USAGE: readonly BackupErrorCode[] = [
  'CONFIG_INVALID',
  'REQUEST_INVALID',
  'MANIFEST_INVALID',
  'API_VERSION_UNSUPPORTED',
  'PLUGIN_LOAD_FAILED',
  'CREDENTIALS_UNAVAILABLE',
  'TARGET_NAME_REQUIRED',
];

export function exitCodeOf(code: BackupErrorCode): ExitCode {
  if (code === 'CANCELLED') return EXIT.cancelled;
  return USAGE.includes(code) ? EXIT.usage : EXIT.failed;
}

/** The code of several outcomes together: cancelled before failed before warnings before done. */
export function worstOf(codes: readonly ExitCode[]): ExitCode {
  const order: readonly ExitCode[] = [EXIT.cancelled, EXIT.failed, EXIT.usage, EXIT.warnings];
  return order.find((code) => codes.includes(code)) ?? EXIT.done;
}
