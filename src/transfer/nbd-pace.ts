import { KIB } from '../common/byte-size.js';

/** Below this, no number of connections makes up for anything. */
const MIN_ROUND_TRIP_MS = 3;
/** So many bytes on the way during one round trip are the least that another connection could add to. */
const MIN_ON_THE_WAY_BYTES = 32 * KIB;
/** What the connection before must have brought, for one more to be tried. */
const MIN_GAIN = 1.15;

export interface PaceFacts {
  /** From a question to its answer, both of a few bytes. */
  readonly roundTripMs: number;
  readonly bytesPerSecond: number;
  /** The same with one connection fewer; undefined with the first. */
  readonly bytesPerSecondBefore: number | undefined;
  readonly remainingBytes: number;
  /** What it takes to open one: the host attaches the disk once more. */
  readonly openingMs: number;
  readonly connections: number;
  readonly maxConnections: number;
}

/**
 * Whether one more connection is worth opening: only where the round trip, and not the wire, is what one waits for; where
 * the one before brought something; and where the time that it saves is more than what opening takes. Pure.
 */
export function anotherConnectionPays(facts: PaceFacts): boolean {
  const { roundTripMs, bytesPerSecond, bytesPerSecondBefore, connections, maxConnections } = facts;
  if (connections >= maxConnections || bytesPerSecond <= 0) return false;
  if (bytesPerSecondBefore !== undefined && bytesPerSecond < bytesPerSecondBefore * MIN_GAIN) return false;
  const onTheWayBytes = (bytesPerSecond * roundTripMs) / 1000;
  if (roundTripMs < MIN_ROUND_TRIP_MS || onTheWayBytes < MIN_ON_THE_WAY_BYTES) return false;
  const restMs = (facts.remainingBytes / bytesPerSecond) * 1000;
  const savedMs = (restMs - facts.openingMs) / (connections + 1);
  return savedMs > facts.openingMs;
}
