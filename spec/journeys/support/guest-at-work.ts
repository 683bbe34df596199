import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { type SavesetRecord } from '../../../src/contract/index.js';
import { type ChainWorld, mib, type SavedPoint } from './chain-world.js';
import { PoolReads } from './pool-reads.js';
import { type SeededRandom } from './seeded-random.js';

const KIB = 1024;
const BLOCK_BYTES = 64 * KIB;
const OVERHEAD_BYTES = 256 * KIB;
/** In these rounds something happens to a disk besides writes, so that it is saved in full. */
const RESIZED = { round: 2, position: '2' };
const ADDED = { round: 3, position: '4' };
const REVERTED = { round: 4, position: '1' };
/** Every so often a differential, and every so often an NBD server that dies. */
const DIFFERENTIAL_EVERY = 6;
const SERVER_DIES_EVERY = 5;

type Touched = Map<string, Set<number>>;

/** A moment of the machine: what its disks had, as digests by position. */
export interface Moment {
  readonly record: SavesetRecord;
  readonly digests: Readonly<Record<string, string>>;
}

/** A guest that writes, disks that come and change, and a backup after each round, with what it may cost. */
export class GuestAtWork {
  readonly moments: Moment[] = [];
  /** Blocks written since the last backup, and since the full that differentials build on. */
  #touched: Touched = new Map();
  readonly #since: Touched = new Map();

  constructor(
    readonly world: ChainWorld,
    readonly random: SeededRandom,
  ) {}

  async begin(): Promise<void> {
    this.#note(await this.world.store());
  }

  /** Writes, perhaps changes a disk, saves, and looks at what was read and stored. */
  async round(round: number): Promise<void> {
    const { world } = this;
    this.#write();
    if (round === RESIZED.round) world.grow(RESIZED.position, world.sizeOf(RESIZED.position) + mib(2));
    if (round === ADDED.round) await world.addDisk('added', mib(3), ADDED.position);
    if (round === REVERTED.round) await world.replaceByClone(REVERTED.position);
    const touched = this.#touched;
    this.#touched = new Map();
    const dies = round % SERVER_DIES_EVERY === 0;
    const heal = dies
      ? world.xen.running.addFault({ match: { nbd: 'read' }, occurrence: 2, action: { cutAtByte: 1000 } })
      : (): void => undefined;
    const level = round % DIFFERENTIAL_EVERY === 0 ? 'differential' : 'auto';
    let isWritten = false;
    let reads: PoolReads | undefined;
    const point = await world
      .store({ level, options: { maxChain: 60 } }, ({ type }) => {
        if (type === 'phase-entered') reads ??= new PoolReads((content) => this.#nameOf(content));
        if (type !== 'level-decided' || isWritten) return;
        // The snapshot is there: what the guest writes from now on belongs to the next round.
        isWritten = true;
        reads?.without(() => {
          this.#write();
        });
      })
      .finally(() => {
        reads?.stop();
        heal();
      });
    this.#note(point);
    if (!dies) this.#expectCheap(round, point, level === 'auto' ? touched : this.#since, reads!);
    expect(world.snapshots()).to.deep.equal([]);
  }

  /** Every moment comes back from its saveset byte by byte, without a pool. */
  async expectAllRestore(): Promise<void> {
    const provider = this.world.xen.contributions.sources[0]!;
    for (const { record, digests } of this.moments) {
      const media = this.world.media(record);
      const restored: Record<string, string> = {};
      for (const { position } of record.disks) {
        const { stream } = await provider.readDisk!({ disk: position, format: 'raw' }, media);
        const digest = createHash('sha256');
        for await (const piece of stream) digest.update(piece as Buffer);
        restored[position] = digest.digest('hex');
      }
      expect(restored, record.savesetId).to.deep.equal(digests);
    }
  }

  #note({ record, moment }: SavedPoint): void {
    const digests = Object.entries(moment).map(([position, bytes]) => [position, digestOf(bytes)] as const);
    this.moments.push({ record, digests: Object.fromEntries(digests) });
  }

  /** Bytes read of each disk that was saved by its changes, and bytes stored: hardly more than what changed. */
  #expectCheap(round: number, { record, decided }: SavedPoint, touched: Touched, reads: PoolReads): void {
    for (const { position, level, reason, item, name } of record.disks) {
      const isDue = [RESIZED, ADDED, REVERTED].some((one) => one.round === round && one.position === position);
      if (level === 'incremental') expect(isDue, `${round}/${position}`).to.equal(false);
      // A differential builds on the first full, which knows nothing of what has happened to disks since.
      if (level === 'full') {
        const isKnown = isDue || (record.level === 'differential' && reason !== 'POLICY');
        expect(isKnown, `${round}/${position} in full: ${reason}`).to.equal(true);
        continue;
      }
      const limit = 1.05 * (touched.get(position)?.size ?? 0) * BLOCK_BYTES + OVERHEAD_BYTES;
      const stored = record.items.find((one) => one.name === item)!.bytes;
      const said = decided.find(({ disk }) => disk === name)!.expectedBytes;
      for (const [what, bytes] of Object.entries({ stored, said, read: reads.of(name) })) {
        expect(bytes, `bytes ${what} of disk ${position} in round ${round}`).to.be.at.most(limit);
      }
    }
  }

  /** Writes of 512 B to 4 MiB, some on every disk. */
  #write(): void {
    const { world, random } = this;
    for (const position of world.positions()) {
      const size = world.sizeOf(position);
      for (let write = random.below(4); write > 0; write -= 1) {
        const bytes = Math.min(size, 512 * 2 ** random.below(14));
        const offset = random.below((size - bytes) / 512 + 1) * 512;
        world.write(position, offset, random.bytes(bytes));
        for (let block = Math.floor(offset / BLOCK_BYTES); block * BLOCK_BYTES < offset + bytes; block += 1) {
          for (const touched of [this.#touched, this.#since]) {
            touched.set(position, (touched.get(position) ?? new Set()).add(block));
          }
        }
      }
    }
  }

  #nameOf(content: unknown): string | undefined {
    const { store, contents } = this.world.xen.running.pool;
    return store.all('VDI').find(([ref]) => contents.get(ref) === content)?.[1].name_label as string | undefined;
  }
}

export function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
