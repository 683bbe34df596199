import { MIB } from '../../common/byte-size.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { dataPathSettings } from './data-path-settings.js';

/**
 * Tells a task's progress in whole MiB, the first time at once and then at most every `progressIntervalMs`. The
 * returned function throws TASK_CANCELLED once the task is to end.
 */
export function progressOf(pool: SimulatedPool, task: string): (doneBytes: number, totalBytes: number) => void {
  pool.tasks.signalOf(task);
  let toldAtMs = Number.NEGATIVE_INFINITY;
  return (doneBytes, totalBytes) => {
    pool.tasks.throwIfCancelled(task);
    const nowMs = pool.clock.nowMs();
    if (nowMs - toldAtMs < dataPathSettings(pool).progressIntervalMs) return;
    toldAtMs = nowMs;
    const total = Math.floor(totalBytes / MIB);
    pool.tasks.setProgress(task, total === 0 ? 0 : Math.min(1, Math.floor(doneBytes / MIB) / total));
  };
}

/**
 * Tells a task's progress in whole percent, each as it comes: what XAPI hears from the program that moves a disk's bytes.
 * Such a transfer does not notice that its task is to end.
 */
export function percentOf(pool: SimulatedPool, task: string): (doneBytes: number, totalBytes: number) => void {
  let told = 0;
  return (doneBytes, totalBytes) => {
    const percent = totalBytes === 0 ? 100 : Math.min(100, Math.floor((doneBytes / totalBytes) * 100));
    if (percent === told) return;
    told = percent;
    pool.tasks.setProgress(task, percent / 100);
  };
}
