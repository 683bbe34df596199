/**
 * Keeps what a client writes to `console.warn` while `work` runs out of the test output, and gives it back: the client
 * tells of every connection that it loses.
 */
export async function warningsOf(work: () => Promise<void>): Promise<readonly string[]> {
  const warnings: string[] = [];
  const original = Object.getOwnPropertyDescriptor(globalThis.console, 'warn') ?? {};
  Object.defineProperty(globalThis.console, 'warn', {
    ...original,
    value: (...parts: readonly unknown[]) => {
      warnings.push(parts.map(String).join(' '));
    },
  });
  try {
    await work();
  } finally {
    Object.defineProperty(globalThis.console, 'warn', original);
  }
  return warnings;
}
