import { z } from 'zod';
import { MIB } from '../../common/byte-size.js';
import { breakLog, loseTracking, TRACKING_LOSSES } from '../behaviour/change-logs.js';
import { contentOf } from '../behaviour/disks.js';
import { bringHostUp, promoteHost, restartHost, takeHostDown } from '../behaviour/host-power.js';
import { expireSessions, fillStorage, setForeignUsage, writeToDisk } from '../behaviour/pool-actions.js';
import { RandomSource } from '../content/random-source.js';
import { faultSchema } from '../faults.js';
import { dataPathSettings } from '../handlers/data-path-settings.js';
import { findObject } from '../lookup.js';
import { PoolClock } from '../pool-clock.js';
import { type GuestBehaviour } from '../pool-conditions.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { wireDate } from '../wire/wire-value.js';
import { diskDigest } from './disk-digest.js';
import { operation, type Operation } from './operation.js';
import { reportOf } from './pool-report.js';
import { POWER_STATES, setPowerState } from './set-power-state.js';
import { timingsSchema } from './timings-schema.js';
import { vmDisk } from './vm-disk.js';

/** The most that is read from or written to a disk at once. */
const MAX_PIECE_BYTES = 16 * MIB;

const nameOrUuid = z.string().min(1).describe('uuid, name or reference');
const disk = z.union([
  nameOrUuid,
  z.strictObject({ vm: nameOrUuid, position: z.int().nonnegative().describe('userdevice of the VBD') }),
]);
const offset = z.int().nonnegative();
const length = z.int().positive().max(MAX_PIECE_BYTES);
const nothing = z.strictObject({});
const host = z.strictObject({ host: nameOrUuid });

const guest: z.ZodType<GuestBehaviour> = z.strictObject({
  os: z.string().optional(),
  addresses: z.record(z.string(), z.string()).default({}),
  hasTools: z.boolean().default(true),
  shutdown: z.enum(['works', 'ignored', 'endless']).default('works'),
  vss: z.union([z.boolean(), z.string()]).default(false),
  nonSuspendable: z.string().optional(),
});

const bytesToWrite = z
  .strictObject({
    disk,
    offset,
    base64: z.base64().optional().describe('the bytes'),
    random: z
      .strictObject({ length, seed: z.union([z.number(), z.string()]).default(1) })
      .optional()
      .describe('noise from a seed, instead of base64'),
  })
  .refine(({ base64, random }) => (base64 === undefined) !== (random === undefined), 'needs either base64 or random');

/** Everything that a test may do to a pool from outside, by name. The control port and the in-process API share it. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  state: operation(
    'The whole state: records, disks, storage, tasks, sessions, connections, faults, timings.',
    z.strictObject({
      classes: z.array(z.string()).optional(),
      withDigests: z.boolean().optional(),
      withoutVolatile: z.boolean().optional(),
    }),
    reportOf,
  ),
  readDisk: operation('Bytes of a disk, as base64.', z.strictObject({ disk, offset, length }), ({ pool }, input) => ({
    base64: contentOf(pool, findDisk(pool, input.disk)).read(input.offset, input.length).toString('base64'),
  })),
  writeDisk: operation(
    'Writes to a disk as the guest does that has it, whatever its state.',
    bytesToWrite,
    ({ pool }, input) => {
      const data =
        input.random === undefined ? Buffer.from(input.base64 ?? '', 'base64') : noise(input.random, input.offset);
      writeToDisk(pool, findDisk(pool, input.disk), input.offset, data);
      return { writtenBytes: data.length };
    },
  ),
  loseTracking: operation(
    'Storage gives up tracking the changes of a disk, and says so in a message.',
    z.strictObject({ disk, loss: z.enum(TRACKING_LOSSES).default('VDI_CBT_METADATA_INCONSISTENT') }),
    ({ pool }, input) => {
      loseTracking(pool, findDisk(pool, input.disk), input.loss);
    },
  ),
  breakChangeLog: operation(
    'Spoils the record of changes of a disk: comparisons over it are SR_BACKEND_FAILURE_459.',
    z.strictObject({ disk }),
    ({ pool }, input) => {
      breakLog(pool, findDisk(pool, input.disk));
    },
  ),
  digestDisk: operation('The SHA-256 of all bytes of a disk.', z.strictObject({ disk }), async ({ pool }, input) => {
    const content = contentOf(pool, findDisk(pool, input.disk));
    return { sizeBytes: content.sizeBytes, sha256: await diskDigest(content) };
  }),
  setGuest: operation(
    'What a guest says and does from now on; its metrics tell at its next start.',
    z.strictObject({ vm: nameOrUuid, guest }),
    ({ pool }, input) => {
      pool.guests.set(findObject(pool, 'VM', input.vm), input.guest);
    },
  ),
  setPowerState: operation(
    'Starts, pauses, suspends or switches off a VM.',
    z.strictObject({ vm: nameOrUuid, state: z.enum(POWER_STATES) }),
    ({ pool }, input) => setPowerState(pool, findObject(pool, 'VM', input.vm), input.state),
  ),
  killHost: operation(
    'Takes a host off: its connections are cut, its ports refuse. With the coordinator go sessions and tasks.',
    host,
    ({ pool }, input) => {
      takeHostDown(pool, findObject(pool, 'host', input.host));
    },
  ),
  startHost: operation('Lets a host that is off answer again.', host, ({ pool }, input) =>
    bringHostUp(pool, findObject(pool, 'host', input.host)),
  ),
  restartHost: operation('Boots a host: it is off for restartMs.', host, ({ pool }, input) => {
    restartHost(pool, findObject(pool, 'host', input.host));
  }),
  promoteHost: operation('Makes a host the coordinator.', host, ({ pool }, input) => {
    promoteHost(pool, findObject(pool, 'host', input.host));
  }),
  advanceClock: operation(
    'Moves the time of the pool on, and lets everything happen that is due by then.',
    z.strictObject({ ms: z.int().nonnegative() }),
    async ({ pool }, input) => {
      if (!(pool.clock instanceof PoolClock)) {
        throw new SimulatedFailure('NOT_IMPLEMENTED', ['the pool was started with a clock that it cannot move']);
      }
      const nowMs = await pool.clock.advance(input.ms);
      pool.collectGarbage();
      return { time: wireDate(nowMs) };
    },
  ),
  expireSessions: operation(
    'Ends all sessions, or those of one user.',
    z.strictObject({ user: z.string().optional() }),
    ({ pool }, input) => ({ ended: expireSessions(pool, input.user) }),
  ),
  addFault: operation('Adds a fault.', z.strictObject({ fault: faultSchema }), ({ pool }, input) => ({
    id: pool.faults.plan(input.fault),
  })),
  listFaults: operation('The faults, with how often each matched and hit.', nothing, ({ pool }) => pool.faults.list()),
  removeFault: operation('Takes a fault away.', z.strictObject({ id: z.int().positive() }), ({ pool }, input) => {
    if (!pool.faults.remove(input.id)) throw new SimulatedFailure('HANDLE_INVALID', ['fault', String(input.id)]);
  }),
  setTimings: operation(
    'How long things take from now on; without any, only tells. Numbers are milliseconds.',
    timingsSchema,
    ({ pool }, { keepAliveAfterMs, keepAliveChunks, progressIntervalMs, detachDelayMs, ...timings }) => {
      const ofTransfers = { keepAliveAfterMs, keepAliveChunks, progressIntervalMs, detachDelayMs };
      Object.assign(pool.timings, given(timings));
      Object.assign(dataPathSettings(pool), given(ofTransfers));
      return { ...pool.timings, ...dataPathSettings(pool) };
    },
  ),
  setForeignUsage: operation(
    'The space that something else takes on a storage; its record tells with the next scan.',
    z.strictObject({ storage: nameOrUuid, bytes: z.int().nonnegative() }),
    ({ pool }, input) => {
      setForeignUsage(pool, findObject(pool, 'SR', input.storage), input.bytes);
    },
  ),
  fillStorage: operation(
    'Something else takes all the room of a storage but roomBytes (0).',
    z.strictObject({ storage: nameOrUuid, roomBytes: z.int().nonnegative().default(0) }),
    ({ pool }, input) => {
      fillStorage(pool, findObject(pool, 'SR', input.storage), input.roomBytes);
    },
  ),
  stop: operation('Stops the pool. The answer comes first.', nothing, (target) => {
    setImmediate(() => void target.close());
  }),
};

function findDisk(pool: SimulatedPool, wanted: z.output<typeof disk>): string {
  return typeof wanted === 'string'
    ? findObject(pool, 'VDI', wanted)
    : vmDisk(pool, findObject(pool, 'VM', wanted.vm), wanted.position);
}

function noise(
  { length: bytes, seed }: { readonly length: number; readonly seed: number | string },
  at: number,
): Buffer {
  const data = Buffer.alloc(bytes);
  new RandomSource(seed).fill(data, at);
  return data;
}

function given(values: object): object {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
