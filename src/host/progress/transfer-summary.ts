import { formatBytes } from '../../common/byte-size.js';
import { formatDuration } from './format-duration.js';

export interface Transferred {
  readonly transferredBytes: number;
  readonly elapsedMs: number;
  readonly dataTransport?: string;
}

/** How much, how long, how fast and how: `1.2 GiB in 20 s, 61.4 MiB/s, https`. */
export function transferSummary({ transferredBytes, elapsedMs, dataTransport }: Transferred): string {
  const rate = elapsedMs > 0 ? [`${formatBytes(Math.round((transferredBytes * 1000) / elapsedMs))}/s`] : [];
  const size = `${formatBytes(transferredBytes)} in ${formatDuration(elapsedMs)}`;
  return [size, ...rate, ...(dataTransport === undefined ? [] : [dataTransport])].join(', ');
}
