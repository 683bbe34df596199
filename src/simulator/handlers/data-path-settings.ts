import { type SimulatedPool } from '../simulated-pool.js';

/** How a pool serves disks; may be changed at any time, and counts from the next transfer on. */
export interface DataPathSettings {
  /** An export puts an empty chunk in when it sent nothing for so long; XAPI's 5000. */
  keepAliveAfterMs: number;
  /** Chunk numbers before which an empty chunk is put in anyway; none by default. */
  keepAliveChunks: readonly number[];
  /** A task's progress is told at most so often; XAPI's 10 000. */
  progressIntervalMs: number;
  /** For how long the control domain holds a disk after a transfer ended; VDI.destroy says VDI_IN_USE meanwhile. */
  detachDelayMs: number;
}

const settingsByPool = new WeakMap<SimulatedPool, DataPathSettings>();

/** The settings of a pool. */
export function dataPathSettings(pool: SimulatedPool): DataPathSettings {
  let settings = settingsByPool.get(pool);
  if (settings === undefined) {
    settings = { keepAliveAfterMs: 5000, keepAliveChunks: [], progressIntervalMs: 10_000, detachDelayMs: 0 };
    settingsByPool.set(pool, settings);
  }
  return settings;
}
