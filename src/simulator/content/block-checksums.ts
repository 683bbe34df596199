import { createHash } from 'node:crypto';
import { createXXHash64 } from 'hash-wasm';

/** `xxhash` is XXH64 as 16 upper-case hex digits, `sha1` is SHA-1 as 40 lower-case ones (facts 5.4). */
export type ChecksumKind = 'xxhash' | 'sha1';

const MAX_KNOWN = 262_144;

/** Checksums of blocks, each worked out once: a block that was named keeps its checksum. */
export class BlockChecksums {
  readonly #xxh64: (bytes: Buffer) => string;
  readonly #known = new Map<string, string>();

  private constructor(xxh64: (bytes: Buffer) => string) {
    this.#xxh64 = xxh64;
  }

  static async load(): Promise<BlockChecksums> {
    const hasher = await createXXHash64();
    return new BlockChecksums((bytes) => hasher.init().update(bytes).digest('hex').toUpperCase());
  }

  /** The checksum of `bytes`, without remembering it. */
  of(kind: ChecksumKind, bytes: Buffer): string {
    return kind === 'xxhash' ? this.#xxh64(bytes) : createHash('sha1').update(bytes).digest('hex');
  }

  /** The checksum of the block called `name` (DiskContent.nameOf); `bytes` is asked for it only the first time. */
  ofNamed(kind: ChecksumKind, name: string, bytes: Buffer): string {
    const key = `${kind}/${bytes.length}/${name}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const checksum = this.of(kind, bytes);
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(key, checksum);
    return checksum;
  }
}

let shared: Promise<BlockChecksums> | undefined;

/** The one cache of this process: names of blocks are the same for all pools in it. */
export function blockChecksums(): Promise<BlockChecksums> {
  shared ??= BlockChecksums.load();
  return shared;
}
