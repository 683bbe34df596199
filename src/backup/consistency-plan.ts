import { BackupError, type Consistency } from '../contract/index.js';
import { type VmRecord } from '../xapi/xapi-records.js';

export type QuiescePolicy = 'require' | 'prefer' | 'never';
/** What happens when a machine does not shut down: the backup fails, it is switched off, or a snapshot is taken. */
export type ShutdownPolicy = 'fail' | 'force' | 'snapshot';

/** What a request asks for; what it leaves open is decided by the machine's tags and its state. */
export interface ConsistencyWish {
  readonly consistency?: Consistency | undefined;
  readonly quiesce?: QuiescePolicy | undefined;
  readonly shutdown?: ShutdownPolicy | undefined;
}

/** What the decision must know of a machine; the field names are XAPI's. */
export interface ConsistencySubject {
  readonly record: Pick<VmRecord, 'name_label' | 'power_state' | 'is_a_template' | 'allowed_operations' | 'tags'>;
  readonly hasGuestTools: boolean;
}

/**
 * How the data is had: `direct` from a machine at rest, `shutdown` from one that is shut down for it, the others from a
 * snapshot: a plain one, one that the guest prepared for, one with memory.
 */
export type Method = 'direct' | 'shutdown' | 'force-shutdown' | 'snapshot' | 'quiesced' | 'checkpoint';

interface Warning {
  readonly code: string;
  readonly message: string;
}

export interface ConsistencyDecision {
  readonly method: Method;
  /** What it is worth when the method works. */
  readonly consistency: Consistency;
  /** Memory comes along. */
  readonly withMemory: boolean;
  /** When the method doesn't work: a plain snapshot and a warning, or a failure. */
  readonly fallsBack: boolean;
  readonly warnings: readonly Warning[];
}

/** XO's tags that say how a machine is to be saved; the request's own word comes first. */
const OFFLINE_TAG = 'xo-offline-backup';
const MEMORY_TAG = 'xo-memory-backup';

/**
 * How a machine in this state is saved. Pure. Never better than asked for at the cost of the machine's running, and never
 * worse without a warning.
 * @throws {BackupError} REQUEST_INVALID for wishes that contradict each other; OBJECT_NOT_SUPPORTED when what is required
 *   can't be had.
 */
export function decideConsistency(subject: ConsistencySubject, wish: ConsistencyWish = {}): ConsistencyDecision {
  assertMeaningful(wish);
  const { record } = subject;
  if (record.is_a_template || record.power_state === 'Halted') return atRest('offline');
  const tagged =
    wish.consistency === undefined && wish.quiesce === undefined ? taggedConsistency(record.tags) : undefined;
  const consistency = wish.consistency ?? tagged;
  if (record.power_state === 'Suspended') return ofSuspended(record.name_label, consistency, wish);
  if (consistency === 'offline') return offline(subject, wish.shutdown ?? 'fail', tagged !== undefined);
  if (consistency === 'memory') return memory(subject, tagged !== undefined);
  if (consistency === 'crash') return plain([]);
  return quiesced(subject, wish, consistency === 'quiesced' || wish.quiesce !== undefined);
}

/** The plain snapshot that takes the place of a method that did not work. */
export function fallBack(code: string, message: string): ConsistencyDecision {
  return plain([{ code, message }]);
}

function assertMeaningful({ consistency, quiesce, shutdown }: ConsistencyWish): void {
  if (consistency === 'quiesced' && quiesce === 'never') {
    throw contradiction('consistency=quiesced and quiesce=never contradict each other.');
  }
  if (quiesce === 'require' && consistency !== undefined && consistency !== 'quiesced') {
    throw contradiction(`quiesce=require and consistency=${consistency} contradict each other.`);
  }
  if (shutdown !== undefined && consistency !== undefined && consistency !== 'offline') {
    throw contradiction(`A shutdown policy and consistency=${consistency} contradict each other.`);
  }
}

function taggedConsistency(tags: readonly string[]): Consistency | undefined {
  if (tags.includes(OFFLINE_TAG)) return 'offline';
  return tags.includes(MEMORY_TAG) ? 'memory' : undefined;
}

function ofSuspended(
  name: string,
  consistency: Consistency | undefined,
  { quiesce }: ConsistencyWish,
): ConsistencyDecision {
  if (consistency === 'memory') return { ...atRest('memory'), withMemory: true };
  if (quiesce === 'require') {
    throw unsupported(`"${name}" is suspended, so its guest can't be quiesced.`, 'Resume it, or use quiesce=prefer.');
  }
  const downgrade: Partial<Record<Consistency, Warning>> = {
    offline: { code: 'OFFLINE_UNAVAILABLE', message: `"${name}" is suspended and can't be shut down cleanly.` },
    quiesced: { code: 'QUIESCE_UNAVAILABLE', message: `"${name}" is suspended, so its guest can't be quiesced.` },
  };
  const warning = consistency === undefined ? undefined : downgrade[consistency];
  const memoryLost = {
    code: 'MEMORY_NOT_SAVED',
    message:
      `"${name}" is suspended; its disks are saved, its memory is not. Restored, it starts as after a power ` +
      'failure. Ask for consistency=memory to save both.',
  };
  return { ...atRest('crash'), warnings: warning === undefined ? [memoryLost] : [warning, memoryLost] };
}

function offline({ record }: ConsistencySubject, policy: ShutdownPolicy, isTagged: boolean): ConsistencyDecision {
  const fallsBack = policy === 'snapshot';
  const clean: ConsistencyDecision = { ...atRest('offline'), method: 'shutdown', fallsBack };
  if (record.allowed_operations.includes('clean_shutdown')) return clean;
  const why = record.power_state === 'Paused' ? 'it is paused' : 'its guest does not take the request';
  const message = `"${record.name_label}" can't be shut down cleanly: ${why}.`;
  if (policy === 'force') {
    const warning = { code: 'SHUTDOWN_FORCED', message: `${message} It is switched off for the backup.` };
    return { ...clean, method: 'force-shutdown', consistency: 'crash', warnings: [warning] };
  }
  if (fallsBack || isTagged) return fallBack('OFFLINE_UNAVAILABLE', `${message} A snapshot is saved instead.`);
  throw unsupported(message, 'Install guest tools, or use shutdown=force or shutdown=snapshot.');
}

function memory({ record }: ConsistencySubject, isTagged: boolean): ConsistencyDecision {
  if (record.allowed_operations.includes('checkpoint')) {
    return { method: 'checkpoint', consistency: 'memory', withMemory: true, fallsBack: isTagged, warnings: [] };
  }
  const message = `The memory of "${record.name_label}" can't be saved: the pool does not allow a checkpoint of it now.`;
  if (isTagged) return fallBack('MEMORY_UNAVAILABLE', `${message} Its disks are saved as after a power failure.`);
  throw unsupported(
    message,
    'Checkpoints need guest tools, an edition that has them, and no passed-through devices. Choose crash consistency.',
  );
}

function quiesced(
  { record, hasGuestTools }: ConsistencySubject,
  { quiesce }: ConsistencyWish,
  isAskedFor: boolean,
): ConsistencyDecision {
  if (quiesce === 'never') return plain([]);
  const fallsBack = quiesce !== 'require';
  if (record.allowed_operations.includes('snapshot_with_quiesce')) {
    return { method: 'quiesced', consistency: 'quiesced', withMemory: false, fallsBack, warnings: [] };
  }
  const why = hasGuestTools
    ? 'neither this release nor its guest offers it (XenServer has it up to 8.0, with a VSS provider in the guest)'
    : 'it has no guest tools';
  const message = `"${record.name_label}" can't be quiesced: ${why}.`;
  if (!fallsBack) throw unsupported(message, 'Use quiesce=prefer to save a plain snapshot instead.');
  if (isAskedFor) return fallBack('QUIESCE_UNAVAILABLE', `${message} It is saved as after a power failure.`);
  return plain(
    hasGuestTools ? [] : [{ code: 'GUEST_TOOLS_MISSING', message: `${message} The backup goes on without.` }],
  );
}

function atRest(consistency: Consistency): ConsistencyDecision {
  return { method: 'direct', consistency, withMemory: false, fallsBack: false, warnings: [] };
}

function plain(warnings: readonly Warning[]): ConsistencyDecision {
  return { method: 'snapshot', consistency: 'crash', withMemory: false, fallsBack: false, warnings };
}

function contradiction(message: string): BackupError {
  return new BackupError('REQUEST_INVALID', message, { hint: 'Leave one of them out.' });
}

function unsupported(message: string, hint: string): BackupError {
  return new BackupError('OBJECT_NOT_SUPPORTED', message, { hint });
}
