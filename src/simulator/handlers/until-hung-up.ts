import { type Exchange } from '../http/handler.js';

/** Resolves when the client has ended its side of the connection, or is gone. */
export function untilHungUp({ hungUp }: Exchange): Promise<void> {
  return new Promise((resolve) => {
    if (hungUp.aborted) resolve();
    else
      hungUp.addEventListener(
        'abort',
        () => {
          resolve();
        },
        { once: true },
      );
  });
}
