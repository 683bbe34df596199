import { text } from 'node:stream/consumers';
import { systemClock } from '../src/common/clock.js';
import { wholeDisk } from '../src/transfer/disk-extents.js';
import { NbdDiskReader } from '../src/transfer/nbd-disk-reader.js';
import { NbdEndpoint } from '../src/xapi/nbd-endpoint.js';
import { type NbdOrder } from './nbd-order.js';

/** Reads one whole disk by NBD and keeps nothing, as `nbdcopy <uri> null:` does. The order comes on standard input. */
const { sizeBytes, ...fields } = JSON.parse(await text(process.stdin)) as NbdOrder;
const endpoint = new NbdEndpoint({ ...fields, isPlainAllowed: false });
const reader = new NbdDiskReader({
  endpoints: () => Promise.resolve([endpoint]),
  sizeBytes,
  extents: wholeDisk(sizeBytes),
  limits: { connectTimeoutMs: 10_000, handshakeTimeoutMs: 30_000, idleTimeoutMs: 60_000 },
  clock: systemClock,
  signal: new AbortController().signal,
});
for await (const { release } of reader) release?.();
const { bytes, mostConnections } = reader.counts;
process.stdout.write(JSON.stringify({ bytes, mostConnections }));
