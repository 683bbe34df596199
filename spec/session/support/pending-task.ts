import { type HandlerTask } from '../../../src/session/pool-connection.js';
import { type RefOf } from '../../../src/xapi/xapi-records.js';

/** The task of a transfer of which the pool never says how it ended. */
export const PENDING_TASK: HandlerTask = {
  ref: 'OpaqueRef:t' as RefOf<'task'>,
  uuid: 'u',
  verdict: new Promise(() => undefined),
  settled: () => Promise.resolve(),
  release: () => Promise.resolve(),
};
