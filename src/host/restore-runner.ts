import { lastValueFrom, tap } from 'rxjs';
import {
  BackupError,
  type RestoreEvent,
  type RestoreHandler,
  type RestoreMedia,
  type RestoreReport,
  type RestoreRequest,
} from '../contract/index.js';
import { toHostError } from './to-host-error.js';

export interface RestoreJob {
  readonly handler: RestoreHandler;
  readonly media: RestoreMedia;
  readonly request: RestoreRequest;
  readonly onEvent: (event: RestoreEvent) => void;
}

/**
 * One restore from media through a handler.
 * @throws {BackupError} what the handler or the media failed with.
 */
export async function runRestore({ handler, media, request, onEvent }: RestoreJob): Promise<RestoreReport> {
  try {
    const last = await lastValueFrom(handler.restore(request, media).pipe(tap(onEvent)));
    if (last.type === 'completed') return last.report;
  } catch (error) {
    throw toHostError(error);
  }
  throw new BackupError('INTERNAL', 'The restore handler ended without a report.', {
    hint: 'This is a fault of the plugin; report it to its author.',
  });
}
