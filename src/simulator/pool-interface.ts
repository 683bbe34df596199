import { type Clock } from '../common/clock.js';
import { type Fault } from './faults.js';
import { type Route } from './http/handler.js';
import { type DatabaseRestore, type GuestBehaviour, type HostRestore } from './pool-conditions.js';
import { type PoolDefinition } from './pool-definition.js';
import { type PoolState, type StateOptions } from './pool-state.js';
import { type SimulatedPool } from './simulated-pool.js';
import { type PoolTimings } from './timings.js';

export interface SimulatedPoolOptions {
  /** A pool file (absolute, or from this package's folder) or its content; the small pool when absent. */
  readonly poolFile?: string | PoolDefinition;
  /** The https port of all hosts; 0 or absent: any that is free on all of them. */
  readonly port?: number;
  /** The plain http port; 0 or absent: any free one. */
  readonly httpPort?: number;
  /** The port for disks over NBD, 10809 with a real pool; 0 or absent: any free one, as VDI.get_nbd_info tells. */
  readonly nbdPort?: number;
  readonly username?: string;
  readonly password?: string;
  /** `8.3` when neither this nor the file says otherwise; see RELEASE_NAMES. */
  readonly release?: string;
  readonly seed?: number;
  /** How long a login with a bad password takes. A real pool takes 5000 ms; 0 when absent. */
  readonly loginDelayMs?: number;
  readonly faults?: readonly Fault[];
  /** A clock of the caller's. Without one the pool has its own, which can be moved on. */
  readonly clock?: Clock;
  /** The pool's own clock stands at this time (milliseconds since the epoch) until it is moved on. */
  readonly clockStandsAtMs?: number;
  /** Opens the control port, at any free port for 0; absent: there is none. */
  readonly controlPort?: number;
  /** Handlers of transfers beside, or before, the built-in ones. */
  readonly routes?: readonly Route[];
}

export interface RunningHost {
  readonly uuid: string;
  readonly name: string;
  readonly address: string;
  readonly url: string;
  readonly httpUrl: string;
  readonly fingerprint256: string;
  /** Further addresses at which it answers, on the same ports. */
  readonly otherAddresses: readonly string[];
}

/** A pool that answers on loopback, and what a test may do to it. */
export interface RunningPool {
  /** Of the host that was the coordinator at the start. */
  readonly url: string;
  readonly httpUrl: string;
  /** Of the control port; undefined when it was not asked for. */
  readonly controlUrl: string | undefined;
  readonly username: string;
  readonly password: string;
  readonly fingerprint256: string;
  readonly certificatePem: string;
  /** In the order of the pool file. */
  readonly hosts: readonly RunningHost[];
  /** The state itself: records, disks, tasks, sessions. */
  readonly pool: SimulatedPool;
  /** Open connections of clients. */
  readonly connectionCount: number;
  /** How long things take; may be changed at any time. */
  readonly timings: PoolTimings;
  /** Databases and control domains that clients put back, oldest first. */
  readonly databaseRestores: readonly DatabaseRestore[];
  readonly hostRestores: readonly HostRestore[];
  /** A copy of all records, to compare before and after. */
  snapshotState(options?: StateOptions): PoolState;
  /** Ends every session: the next call of each is SESSION_INVALID. */
  expireSessions(): void;
  /** Makes another host the coordinator: sessions stay good, the old one answers HOST_IS_SLAVE. */
  makeCoordinator(hostUuid: string): void;
  /** What a guest writes to its disk. Throws VDI_IO_ERROR when thin storage has filled up. */
  writeGuest(vdiUuid: string, offset: number, data: Buffer): void;
  /** What a guest says and does from now on; its metrics tell at its next start. */
  setGuest(vmUuid: string, behaviour: GuestBehaviour): void;
  /** The space that something else than the pool's disks takes; the record tells with the next scan. */
  setForeignUsage(srUuid: string, bytes: number): void;
  /** Adds a fault; the returned function takes it away. */
  addFault(fault: Fault): () => void;
  /**
   * Does an operation of the control port, by its name, in this process: the same checks, the same effect. Throws an error
   * with `code` and `hint`.
   */
  perform(operation: string, input?: object): Promise<unknown>;
  /** Aborts when the pool is closed, by whomever. */
  readonly closed: AbortSignal;
  /** Stops everything: connections are cut, ports are free, no timer is left. */
  close(): Promise<void>;
}
