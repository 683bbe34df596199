/** What a VHD consists of, read by rules of its own for specs. */
export interface VhdParts {
  readonly type: number;
  readonly sizeBytes: number;
  readonly uuid: string;
  readonly parentUuid: string;
  /** Numbers of the stored blocks, in the order in which they lie. */
  readonly blocks: readonly number[];
  /** The bitmap and the data of a block. */
  readonly blockAt: (block: number) => { readonly bitmap: Buffer; readonly data: Buffer } | undefined;
}

const BLOCK_BYTES = 2 * 1024 * 1024;

/** Takes a whole image apart; throws for one whose parts are not where they belong. */
export function partsOf(vhd: Buffer): VhdParts {
  const footer = vhd.subarray(0, 512);
  if (!footer.equals(vhd.subarray(vhd.length - 512))) throw new RangeError('the two footers differ');
  const header = vhd.subarray(512, 1536);
  const tableAt = Number(header.readBigUInt64BE(16));
  const count = header.readUInt32BE(28);
  const places = Array.from({ length: count }, (_, block) => ({
    block,
    sector: vhd.readUInt32BE(tableAt + 4 * block),
  }));
  const stored = places.filter(({ sector }) => sector !== 0xffffffff).sort((a, b) => a.sector - b.sector);
  return {
    type: footer.readUInt32BE(60),
    sizeBytes: Number(footer.readBigUInt64BE(48)),
    uuid: footer.toString('hex', 68, 84),
    parentUuid: header.toString('hex', 40, 56),
    blocks: stored.map(({ block }) => block),
    blockAt: (wanted) => {
      const found = stored.find(({ block }) => block === wanted);
      if (found === undefined) return undefined;
      const at = found.sector * 512;
      return { bitmap: vhd.subarray(at, at + 512), data: vhd.subarray(at + 512, at + 512 + BLOCK_BYTES) };
    },
  };
}
