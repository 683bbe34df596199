import { writeFileSync } from 'node:fs';

/**
 * Loaded into a measured process with `node --import`: when it ends, writes what that process alone has used, all its
 * threads included, into the file that the environment names.
 */
const path = process.env.XEN_BENCH_USAGE;

process.once('exit', () => {
  if (path !== undefined) writeFileSync(path, JSON.stringify(process.resourceUsage()));
});
