/** How long things take in a pool, in milliseconds of its clock. The values are XAPI's where it has one. */
export interface PoolTimings {
  /** A guest must answer a request to shut down within this. */
  shutdownAcknowledgeMs: number;
  /** A guest must have shut down within this. */
  shutdownMs: number;
  /** The VSS provider of a guest must take up a request within this. */
  quiesceAcknowledgeMs: number;
  /** A quiesced snapshot must be there within this. */
  quiesceMs: number;
  /** From the end of a snapshot to the end of its base copy. */
  coalesceDelayMs: number;
  /** From the end of a database restore to the restart of the host. */
  restoreFuseMs: number;
  /** How long a host that restarts answers nobody. */
  restartMs: number;
  /** From pool.emergency_transition_to_master to the new coordinator; with a real host about nine seconds. */
  takeoverMs: number;
  /** So long VDI.data_destroy waits for the VBDs of a disk to go. */
  dataDestroyWaitMs: number;
  /** How long the control domain keeps a disk after an NBD connection ended. */
  nbdDetachMs: number;
  /** How long an answer over NBD is on its way: the distance between client and host. */
  nbdLatencyMs: number;
  /** How long a disk takes to be copied, by what it holds. */
  copyMsPerGiB: number;
}

export function defaultTimings(): PoolTimings {
  return {
    shutdownAcknowledgeMs: 60_000,
    shutdownMs: 1_200_000,
    quiesceAcknowledgeMs: 60_000,
    quiesceMs: 600_000,
    coalesceDelayMs: 30_000,
    restoreFuseMs: 30_000,
    restartMs: 60_000,
    takeoverMs: 0,
    dataDestroyWaitMs: 4000,
    nbdDetachMs: 200,
    nbdLatencyMs: 0,
    copyMsPerGiB: 0,
  };
}
