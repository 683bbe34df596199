import { lastValueFrom, type Observable, tap, toArray } from 'rxjs';
import { expect } from 'chai';
import {
  type BackupError,
  type BackupErrorCode,
  type BackupReport,
  isBackupError,
  type RestoreReport,
} from '../../../src/contract/index.js';

/** All events of an operation that is expected to succeed. */
export async function eventsOf<Event>(operation: Observable<Event>): Promise<Event[]> {
  return lastValueFrom(operation.pipe(toArray()));
}

/** The report of an operation that is expected to succeed. */
export async function reportOf<Report extends BackupReport | RestoreReport>(
  operation: Observable<{ readonly type: string; readonly report?: Report }>,
): Promise<Report> {
  return (await eventsOf(operation)).at(-1)!.report!;
}

/** The error of an operation that is expected to fail; `seen` gets the events before it. */
export async function errorOf<Event>(operation: Observable<Event>, seen: Event[] = []): Promise<BackupError> {
  return rejectionOf(
    lastValueFrom(
      operation.pipe(
        tap((event) => seen.push(event)),
        toArray(),
      ),
    ),
  );
}

export async function rejectionOf(work: Promise<unknown>): Promise<BackupError> {
  const outcome: unknown = await work.then(
    () => 'it succeeded',
    (error: unknown) => error,
  );
  if (!isBackupError(outcome)) expect.fail(`expected a BackupError, but: ${String(outcome)}`);
  return outcome;
}

export async function expectCode(work: Promise<unknown>, ...codes: BackupErrorCode[]): Promise<BackupError> {
  const error = await rejectionOf(work);
  expect(codes, `${error.code}: ${error.message}`).to.include(error.code);
  expect(error.message).to.match(/^[^\n]{5,}/);
  return error;
}
