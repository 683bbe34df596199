/**
 * Bytes that exist by rule and never change: the ground a disk's writes lie on. Any offset may be asked for; beyond
 * its own end a source is zero.
 */
export interface ByteSource {
  /** Fills all of `target` with the bytes from `offset` on. */
  fill(target: Buffer, offset: number): void;
  /** True when these bytes are zero by rule; false means that one has to look. */
  isKnownZero(offset: number, length: number): boolean;
  /** A name for these bytes: two ranges of the same length and the same name are equal, in this process. */
  nameOf(offset: number, length: number): string;
  /** How many of the bytes in `[0, sizeBytes)` take space. */
  allocatedBytes(sizeBytes: number): number;
  /** The first 32 bits at a multiple of 4 KiB, found without filling anything. Only generated sources have it. */
  probe?(offset: number): number;
}

/** The name of zeroes, whatever made them. */
export const ZERO_NAME = 'z';

export const ZERO_SOURCE: ByteSource = {
  fill: (target) => {
    target.fill(0);
  },
  isKnownZero: () => true,
  nameOf: () => ZERO_NAME,
  allocatedBytes: () => 0,
};
