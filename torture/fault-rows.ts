import { type BackupErrorCode } from '../src/contract/index.js';
import { type Fault, type FaultAction, type FaultMatch } from '../src/simulator/index.js';
import { type Footprint } from './footprint.js';

type Place = (bytes: number) => number;

/** A fault as a row: what it can meet, what it does there, and how an operation may end that meets it. */
export interface FaultRow {
  readonly name: string;
  readonly meets:
    | 'call'
    | 'snapshot'
    | 'limited'
    | 'change'
    | 'async'
    | 'export'
    | 'transfer'
    | 'download'
    | 'upload'
    | 'nbd-connection'
    | 'nbd-read';
  readonly action: FaultAction | ((bytes: number) => FaultAction);
  /** Name of a member that goes as well, at the first match, and comes back after a moment. */
  readonly reboots?: string;
  /** How many matches it hits; default: the first only. `all`: every one. */
  readonly times?: 'all' | { readonly forMs: number };
  /** Codes that the operation may fail with. */
  readonly codes: readonly BackupErrorCode[];
  /** False: it must fail. Default: success is as good, when the bytes are right. */
  readonly maySucceed?: boolean;
  /** Hosts come and go: their own records are not compared. */
  readonly movesHosts?: boolean;
  /** What is left may be told with LEFTOVER, and reconcile must take it away. */
  readonly mayLeave?: boolean;
}

const MIB = 1024 * 1024;

const start: Place = () => 0;
const middle: Place = (bytes) => Math.floor(bytes / 2);
const last: Place = (bytes) => Math.max(0, bytes - 1);
const PLACES = { start, middle, 'last byte': last };

const REFUSED: readonly BackupErrorCode[] = [
  'SOURCE_FAILED',
  'SNAPSHOT_FAILED',
  'RESTORE_FAILED',
  'SOURCE_UNSUPPORTED',
];
const LOST: readonly BackupErrorCode[] = ['SOURCE_UNREACHABLE', 'TRANSFER_INTERRUPTED', 'SOURCE_BUSY'];
const BROKEN: readonly BackupErrorCode[] = [
  'TRANSFER_INTERRUPTED',
  'DATA_DAMAGED',
  'SOURCE_UNREACHABLE',
  'SOURCE_FAILED',
  'RESTORE_FAILED',
];

const calls: readonly FaultRow[] = [
  { name: 'refused', meets: 'call', action: { failWith: ['INTERNAL_ERROR', 'injected'] }, codes: REFUSED },
  { name: 'answer cut', meets: 'call', action: { cutAtByte: 0 }, codes: LOST, mayLeave: true },
  { name: 'session expired', meets: 'call', action: { expireSession: true }, codes: [...LOST, 'SOURCE_FAILED'] },
  { name: 'slow', meets: 'call', action: { delayMs: 30 }, codes: [] },
  { name: 'stalled', meets: 'limited', action: { stall: true }, codes: [...LOST, 'TRANSFER_STALLED'], mayLeave: true },
  {
    name: 'coordinator moves',
    meets: 'call',
    action: { kill: 'coordinator', promote: 'host-b', backAfterMs: 150 },
    codes: [...LOST, 'SOURCE_FAILED', 'RESTORE_FAILED', 'SNAPSHOT_FAILED'],
    movesHosts: true,
    mayLeave: true,
  },
  {
    name: 'coordinator dies with the answer',
    meets: 'change',
    action: { kill: 'coordinator', promote: 'host-b', afterWork: true },
    codes: [...LOST, 'SOURCE_FAILED', 'RESTORE_FAILED', 'SNAPSHOT_FAILED'],
    movesHosts: true,
    mayLeave: true,
  },
  {
    name: 'member reboots',
    meets: 'call',
    // The coordinator, which is asked, goes on a little later.
    action: { delayMs: 5 },
    reboots: 'host-b',
    codes: LOST,
    movesHosts: true,
  },
  {
    name: 'in use for long',
    meets: 'change',
    action: { failWith: ['VDI_IN_USE', '{1}', 'destroy'] },
    times: { forMs: 150 },
    codes: [...REFUSED, 'SOURCE_BUSY'],
    mayLeave: true,
  },
  {
    name: 'storage full',
    meets: 'change',
    action: { failWith: ['SR_FULL', '1', '2'] },
    codes: [...REFUSED, 'STORAGE_FULL'],
  },
  {
    name: 'snapshot refused',
    meets: 'snapshot',
    action: { failWith: ['SR_OPERATION_NOT_SUPPORTED', 'injected'] },
    codes: ['SNAPSHOT_FAILED', 'SOURCE_UNSUPPORTED'],
    maySucceed: false,
  },
  {
    name: 'task fails late',
    meets: 'async',
    action: { taskFailure: ['VDI_IO_ERROR', 'Device I/O error'] },
    codes: [...REFUSED, 'SNAPSHOT_FAILED'],
    mayLeave: true,
  },
  {
    name: 'task vanishes',
    meets: 'async',
    action: { vanishTask: true },
    codes: [...REFUSED, 'TRANSFER_INTERRUPTED'],
    mayLeave: true,
  },
];

const transfers: readonly FaultRow[] = [
  ...Object.entries(PLACES).flatMap(([where, place]): readonly FaultRow[] => [
    { name: `cut at ${where}`, meets: 'transfer', action: (bytes) => ({ cutAtByte: place(bytes) }), codes: BROKEN },
    {
      name: `stalled at ${where}`,
      meets: 'transfer',
      action: (bytes) => ({ stall: true, atByte: place(bytes) }),
      codes: ['TRANSFER_STALLED', 'RESTORE_FAILED', 'SOURCE_UNREACHABLE'],
    },
    {
      name: `session expired at ${where}`,
      meets: 'transfer',
      action: (bytes) => ({ expireSession: true, atByte: place(bytes) }),
      codes: [...BROKEN, 'SOURCE_AUTH_REFUSED'],
    },
    {
      name: `coordinator moves at ${where}`,
      meets: 'transfer',
      action: (bytes) => ({ kill: 'coordinator', promote: 'host-b', backAfterMs: 150, atByte: place(bytes) }),
      codes: [...BROKEN, 'SOURCE_BUSY'],
      movesHosts: true,
      mayLeave: true,
    },
    {
      name: `member reboots at ${where}`,
      meets: 'transfer',
      action: (bytes) => ({ kill: 'host', backAfterMs: 150, atByte: place(bytes) }),
      codes: [...BROKEN, 'SOURCE_BUSY'],
      movesHosts: true,
      mayLeave: true,
    },
  ]),
  ...Object.entries({ start, middle }).map(([where, place]): FaultRow => ({
    name: `error page at ${where}`,
    meets: 'download',
    action: (bytes) => ({ bodyError: ['INTERNAL_ERROR', 'injected'], atByte: place(bytes) }),
    codes: ['SOURCE_FAILED', 'DATA_DAMAGED', 'TRANSFER_INTERRUPTED'],
  })),
  {
    name: 'slow',
    meets: 'transfer',
    action: (bytes) => ({ bytesPerSecond: Math.max(20_000_000, bytes * 20) }),
    codes: [],
  },
  { name: 'begins late', meets: 'transfer', action: { delayMs: 50 }, codes: [] },
  {
    name: 'refused',
    meets: 'transfer',
    action: { failWith: ['VDI_NOT_AVAILABLE', 'injected'] },
    codes: [...BROKEN, 'SOURCE_BUSY', 'SOURCE_UNSUPPORTED'],
  },
  { name: '500', meets: 'transfer', action: { httpStatus: 500 }, codes: BROKEN },
  {
    name: '403',
    meets: 'transfer',
    action: { httpStatus: 403 },
    codes: [...BROKEN, 'SOURCE_PERMISSION_DENIED', 'SOURCE_AUTH_REFUSED'],
  },
  {
    name: 'task fails late',
    meets: 'transfer',
    action: { taskFailure: ['VDI_IO_ERROR', 'Device I/O error'] },
    codes: [...BROKEN],
  },
  { name: 'task vanishes', meets: 'transfer', action: { vanishTask: true }, codes: BROKEN, mayLeave: true },
  {
    name: 'storage full',
    meets: 'upload',
    action: (bytes) => ({ fillStorage: 'Main', atByte: Math.floor(bytes / 3) }),
    codes: ['STORAGE_FULL', 'RESTORE_FAILED'],
  },
  {
    name: 'bit flipped',
    meets: 'export',
    action: (bytes) => ({ corruptAtByte: middle(bytes) }),
    codes: ['DATA_DAMAGED'],
    maySucceed: false,
  },
  {
    name: 'ends early, task succeeds',
    meets: 'download',
    action: (bytes) => ({ truncateAtByte: middle(bytes), task: 'success' }),
    codes: ['DATA_DAMAGED'],
    maySucceed: false,
  },
  {
    name: 'ends early, task fails',
    meets: 'download',
    action: (bytes) => ({ truncateAtByte: middle(bytes), task: 'failure' }),
    codes: ['DATA_DAMAGED', 'SOURCE_FAILED', 'TRANSFER_INTERRUPTED'],
    maySucceed: false,
  },
  ...[0, 1, 3, 5].map((member): FaultRow => ({
    name: `ends before member ${member}`,
    meets: 'export',
    action: { truncateAtMember: member, task: 'success' },
    codes: ['DATA_DAMAGED', 'TRANSFER_INTERRUPTED'],
    maySucceed: false,
  })),
  {
    name: 'wrong checksum',
    meets: 'export',
    action: { wrongChecksumAtChunk: 1 },
    codes: ['DATA_DAMAGED'],
    maySucceed: false,
  },
  { name: 'chunk twice', meets: 'export', action: { duplicateChunk: 1 }, codes: ['DATA_DAMAGED'], maySucceed: false },
  { name: 'chunks reordered', meets: 'export', action: { swapChunk: 0 }, codes: ['DATA_DAMAGED'], maySucceed: false },
];

const NBD_CODES: readonly BackupErrorCode[] = [
  'TRANSFER_INTERRUPTED',
  'SOURCE_UNREACHABLE',
  'TRANSFER_STALLED',
  'SOURCE_FAILED',
];
/** No bit is flipped here: NBD has no checksums, and what is changed on the way ends the TLS that it goes in. */
const nbd: readonly FaultRow[] = [
  { name: 'refused once', meets: 'nbd-connection', action: { refuse: true }, codes: [] },
  { name: 'refused always', meets: 'nbd-connection', action: { refuse: true }, times: 'all', codes: NBD_CODES },
  {
    name: 'wrong certificate',
    meets: 'nbd-connection',
    action: { wrongCertificate: true },
    times: 'all',
    codes: ['SOURCE_UNTRUSTED'],
  },
  { name: 'greeting cut', meets: 'nbd-connection', action: { cutAtByte: 4 }, codes: [] },
  { name: 'stalled', meets: 'nbd-connection', action: { stall: true }, codes: NBD_CODES },
  { name: 'cut at start', meets: 'nbd-read', action: { cutAtByte: 0 }, codes: [] },
  { name: 'cut in the middle', meets: 'nbd-read', action: { cutAtByte: 3000 }, codes: [] },
  {
    name: 'cut always',
    meets: 'nbd-read',
    action: { cutAtByte: 100 },
    times: 'all',
    codes: NBD_CODES,
    maySucceed: false,
  },
  { name: 'stalled', meets: 'nbd-read', action: { stall: true }, codes: NBD_CODES },
  { name: 'late', meets: 'nbd-read', action: { delayMs: 40 }, codes: [] },
];

export const FAULT_ROWS: readonly FaultRow[] = [...calls, ...transfers, ...nbd];

const isReading = (call: string): boolean => /\.(get_|scan$|list)|^event\.|^session\.|^system\./.test(call);

/** Calls whose limit is no setting: minutes that a torture does not have. */
const OWN_LIMIT = new Set([
  'SR.scan',
  'VM.snapshot',
  'VM.destroy',
  'VDI.destroy',
  'VDI.data_destroy',
  'task.destroy',
  'VM.hard_shutdown',
  'VM.start',
  'VDI.copy',
  'event.from',
  'session.logout',
  'VM.clean_shutdown',
]);

/** Where in an operation a row can strike. */
export function placesOf(
  row: FaultRow,
  print: Footprint,
): readonly { readonly where: string; readonly fault: Fault }[] {
  const turns =
    row.times === 'all' ? {} : row.times === undefined ? { occurrence: 1 } : { occurrence: 1, forMs: row.times.forMs };
  const at = (where: string, match: FaultMatch, bytes = 0): { where: string; fault: Fault } => ({
    where,
    fault: { match, ...turns, action: typeof row.action === 'function' ? row.action(bytes) : row.action },
  });
  const transferring = (isMet: (one: Footprint['transfers'][number]) => boolean): ReturnType<typeof placesOf> =>
    print.transfers.filter(isMet).map(({ method, path, bytes }) => at(`${method} ${path}`, { path, method }, bytes));
  switch (row.meets) {
    case 'call':
      return print.calls.map((call) => at(call, { call }));
    case 'snapshot':
      return print.calls
        .filter((call) => call.includes('snapshot') && !isReading(call))
        .map((call) => at(call, { call }));
    case 'limited':
      return print.calls
        .filter((call) => !OWN_LIMIT.has(call) && (!isReading(call) || call === 'VM.get_record'))
        .map((call) => at(call, { call }));
    case 'change':
      return print.calls.filter((call) => !isReading(call)).map((call) => at(call, { call }));
    case 'async':
      return print.calls.filter((call) => print.asynchronous.has(call)).map((call) => at(call, { call }));
    case 'export':
      return transferring(({ path, bytes }) => path === '/export' && hasMember(row, bytes));
    case 'transfer':
      return transferring(() => true);
    case 'download':
      return transferring(({ method }) => method === 'GET');
    case 'upload':
      return transferring(({ method }) => method === 'PUT');
    case 'nbd-connection':
      return print.hasNbd ? [at('NBD connection', { nbd: 'connection' })] : [];
    case 'nbd-read':
      return print.hasNbd ? [at('NBD read', { nbd: 'read' })] : [];
  }
}

/** Metadata first, then a chunk of 1 MiB and its checksum in turns: an archive without that member does not break off there. */
function hasMember({ action }: FaultRow, bytes: number): boolean {
  if (typeof action === 'function' || !('truncateAtMember' in action)) return true;
  return action.truncateAtMember <= 2 * Math.floor(bytes / MIB);
}
