/**
 * Runs `work` under a signal that aborts when any of `parents` does or when `timeoutMs` has passed (undefined: no
 * limit). The reason of a time-out is what `onTimeout` makes. The timer is gone when the work ends.
 */
export async function withDeadline<T>(
  parents: readonly (AbortSignal | undefined)[],
  timeoutMs: number | undefined,
  onTimeout: () => Error,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          controller.abort(onTimeout());
        }, timeoutMs);
  const present = parents.filter((parent) => parent !== undefined);
  try {
    return await work(AbortSignal.any([controller.signal, ...present]));
  } finally {
    clearTimeout(timer);
  }
}
