import { setImmediate as nextTurn } from 'node:timers/promises';

/** Puts `instead` in the place of `console.warn`, until the result is called. */
function replaceWarn(instead: (...parts: readonly unknown[]) => void): () => void {
  const original = Object.getOwnPropertyDescriptor(globalThis.console, 'warn') ?? {};
  Object.defineProperty(globalThis.console, 'warn', { ...original, value: instead });
  return () => {
    Object.defineProperty(globalThis.console, 'warn', original);
  };
}

/**
 * Keeps what a client writes to `console.warn` while `work` runs out of the test output, and gives it back: the client
 * tells of every connection that it loses.
 */
export async function warningsOf(work: () => Promise<void>): Promise<readonly string[]> {
  const warnings: string[] = [];
  const restore = replaceWarn((...parts) => {
    warnings.push(parts.map(String).join(' '));
  });
  try {
    await work();
  } finally {
    restore();
  }
  return warnings;
}

/** Keeps the warnings of a client out of the test output, from before the first spec of a `describe` to after its last. */
export function quietConsole(): void {
  let restore = (): void => undefined;
  before(() => {
    restore = replaceWarn(() => undefined);
  });
  after(async () => {
    // The pool closed a moment ago: the client learns of it in the next turn.
    await nextTurn();
    restore();
  });
}
