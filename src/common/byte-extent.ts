/** A stretch of a disk. */
export interface ByteExtent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** A stretch of a disk with its bytes. */
export interface ByteRun {
  readonly offsetBytes: number;
  readonly data: Buffer;
}

export function extentsBytes(extents: readonly ByteExtent[]): number {
  return extents.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
}
