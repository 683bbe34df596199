import { setMaxListeners } from 'node:events';
import { type Clock } from '../common/clock.js';
import { type DiskContent } from './content/disk-content.js';
import { type Datamodel } from './datamodel/datamodel.js';
import { FaultPlan } from './faults.js';
import {
  type DatabaseRestore,
  type GuestBehaviour,
  type HostRestore,
  type StorageCondition,
  type UnknownDisk,
} from './pool-conditions.js';
import { SeededRandom } from './random.js';
import { RecordStore, type SyncedDatabase } from './record-store.js';
import { SessionTable, type Credentials } from './session-table.js';
import { SimulatedFailure } from './simulated-failure.js';
import { TaskTable } from './task-table.js';
import { defaultTimings, type PoolTimings } from './timings.js';
import { type XapiRecord } from './wire/wire-value.js';

export interface SimulatedPoolOptions {
  readonly datamodel: Datamodel;
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly seed: number;
  /** How long a login with a bad password takes; 5000 with a real pool. */
  readonly loginDelayMs: number;
}

/** A port at which a host listens. */
export interface Door {
  /** Refuses new connections and cuts those that are there. */
  readonly shut: () => void;
  /** Listens at the same port again. Rejects when somebody else has it. */
  readonly open: () => Promise<void>;
}

/** Objects that every client makes in passing. Their identifiers come from a row of their own. */
const PASSING = new Set(['session', 'task']);

/** How often sessions and tasks are looked after, as far as anybody calls. */
const GARBAGE_INTERVAL_MS = 30_000;

/** The state of a pool: its objects, the bytes of its disks, who is logged in, and what runs. */
export class SimulatedPool {
  readonly datamodel: Datamodel;
  readonly clock: Clock;
  /** Of what lasts. The more or fewer calls are made in between does not change the next object's identifier. */
  readonly random: SeededRandom;
  /** Of what passes: sessions, tasks, the keys of running calls. */
  readonly passingRandom: SeededRandom;
  readonly store: RecordStore;
  readonly tasks: TaskTable;
  readonly sessions: SessionTable;
  readonly faults: FaultPlan;
  /** The bytes of each VDI, by reference. Made and dropped together with the record, see behaviour/disks.ts. */
  readonly contents = new Map<string, DiskContent>();
  readonly loginDelayMs: number;
  /** While the objects of the pool file are made: room is counted once, at the end. */
  isBeingBuilt = false;
  /** The port at which every host listens for https. */
  httpsPort = 443;
  /** The port at which every host serves disks over NBD. */
  nbdPort = 10_809;
  /** PEM certificate by host reference. */
  readonly certificates = new Map<string, string>();
  /** How long things take; may be changed at any time. */
  readonly timings: PoolTimings = defaultTimings();
  /** What a guest does when asked, by VM reference; a VM that is not here has tools and obeys. */
  readonly guests = new Map<string, GuestBehaviour>();
  /** What is true of an SR besides its record, by reference. */
  readonly storage = new Map<string, StorageCondition>();
  /** How far a host's clock is ahead, by host reference. */
  readonly clockOffsetsMs = new Map<string, number>();
  /** Databases and control domains that were put back, oldest first. */
  readonly databaseRestores: DatabaseRestore[] = [];
  readonly hostRestores: HostRestore[] = [];
  /** Hosts that are down or boot just now, by reference. */
  readonly downHosts = new Set<string>();
  /** Members that came up while the coordinator was down, by reference. */
  readonly bootedHeadless = new Set<string>();
  /** What the members know of the pool; undefined until it was sent to them. */
  syncedDatabase: SyncedDatabase | undefined;
  /** Disks that lie on a storage and have no record. */
  unknownDisks: readonly UnknownDisk[] = [];
  /** What lets clients in to a host, by its reference; shut while it is down. */
  readonly doors = new Map<string, Set<Door>>();
  /** Open connections of clients, by host reference. */
  readonly connections = new Map<string, Set<{ destroy(): unknown }>>();
  /** Aborts when the pool closes. */
  readonly closing = new AbortController();
  #collectedAtMs = 0;

  constructor(options: SimulatedPoolOptions) {
    // Every connection and everything that waits listens for the end.
    setMaxListeners(0, this.closing.signal);
    this.datamodel = options.datamodel;
    this.clock = options.clock;
    this.loginDelayMs = options.loginDelayMs;
    this.faults = new FaultPlan(() => options.clock.nowMs());
    this.random = new SeededRandom(options.seed);
    this.passingRandom = new SeededRandom(~options.seed);
    this.store = new RecordStore(options.datamodel, (cls) =>
      PASSING.has(cls) ? this.passingRandom.uuid() : this.random.uuid(),
    );
    this.tasks = new TaskTable(this.store, options.clock);
    this.sessions = new SessionTable(this.store, options.clock, options.credentials);
  }

  /** The release that the pool plays, such as `8.3`. */
  get release(): string {
    return this.datamodel.release.name;
  }

  /** The one pool object, as [reference, record]. */
  get poolEntry(): readonly [ref: string, record: XapiRecord] {
    const [entry] = this.store.all('pool');
    if (entry === undefined) throw new SimulatedFailure('INTERNAL_ERROR', ['Not_found']);
    return [entry[0], entry[1]];
  }

  /** The coordinator's host reference. */
  get coordinator(): string {
    const master = this.poolEntry[1].master;
    return typeof master === 'string' ? master : '';
  }

  nowMs(): number {
    return this.clock.nowMs();
  }

  /** Takes away the sessions and tasks whose time is up, when it was not looked after for a while. */
  collectGarbage(): void {
    const nowMs = this.nowMs();
    if (nowMs - this.#collectedAtMs < GARBAGE_INTERVAL_MS) return;
    this.#collectedAtMs = nowMs;
    this.sessions.collect();
    this.tasks.collect();
  }

  /** Does `work` after a while of the pool's clock, unless the pool is closed before. */
  later(delayMs: number, work: () => void): void {
    void this.clock.sleep(delayMs, this.closing.signal).then(work, () => undefined);
  }
}
