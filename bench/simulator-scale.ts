import { startSimulatedPool } from '../src/simulator/index.js';

/**
 * Starts the large pool and asks it for everything, and tells what that took: `node dist/bench/simulator-scale.js`. One line of
 * JSON; times in milliseconds, memory (the most that the process ever had) in MiB.
 */
const POOL_FILE = 'fixtures/pools/large.json';

const beganAt = performance.now();
const pool = await startSimulatedPool({ poolFile: POOL_FILE });
const figures: Record<string, number> = { startMs: elapsed(beganAt), startMiB: peakMiB() };

async function call(method: string, params: readonly unknown[]): Promise<unknown> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
  const response = await fetch(`${pool.httpUrl}/jsonrpc`, { method: 'POST', body });
  const { result } = (await response.json()) as { result: unknown };
  return result;
}

const session = await call('session.login_with_password', [pool.username, pool.password]);
for (const cls of ['VM', 'VDI', 'VBD']) {
  const askedAt = performance.now();
  const records = (await call(`${cls}.get_all_records`, [session])) as object;
  figures[`${cls}.get_all_records`] = elapsed(askedAt);
  figures[`${cls}s`] = Object.keys(records).length;
}
figures.peakMiB = peakMiB();
await pool.close();
process.stdout.write(`${JSON.stringify(figures)}\n`);

function elapsed(sinceMs: number): number {
  return Math.round(performance.now() - sinceMs);
}

function peakMiB(): number {
  return Math.round(process.resourceUsage().maxRSS / 1024);
}
