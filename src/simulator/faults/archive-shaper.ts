import { type FaultAction } from './fault.js';

const BLOCK_BYTES = 512;
const SIZE_AT = 124;
const SIZE_LENGTH = 11;

/** What came of some bytes of an archive: what goes on, and whether that was the last of it. */
export interface ShapedArchive {
  readonly bytes: Uint8Array;
  readonly end: 'success' | 'failure' | undefined;
}

/** True for an action that looks at the members of an archive. */
export function isOfArchive(action: FaultAction): boolean {
  return (
    'truncateAtMember' in action ||
    'wrongChecksumAtChunk' in action ||
    'duplicateChunk' in action ||
    'swapChunk' in action
  );
}

/** Applies the faults that know members and chunks to an XVA that is not packed. Pure. Keeps back at most two chunks. */
export class ArchiveShaper {
  readonly #actions: readonly FaultAction[];
  #pending: Buffer = Buffer.alloc(0);
  #memberIndex = -1;
  #chunkIndex = -1;
  #lastChunk: Buffer = Buffer.alloc(0);
  #kept: Buffer[] = [];
  #isPast = false;

  constructor(actions: readonly FaultAction[]) {
    this.#actions = actions;
  }

  shape(bytes: Uint8Array): ShapedArchive {
    if (this.#isPast) return { bytes, end: undefined };
    this.#pending = Buffer.concat([this.#pending, bytes]);
    const out: Buffer[] = [];
    while (this.#pending.length >= BLOCK_BYTES) {
      const header = this.#pending.subarray(0, BLOCK_BYTES);
      if (header[0] === 0) {
        this.#isPast = true;
        out.push(...this.#kept, this.#pending);
        break;
      }
      const length = memberLength(header);
      if (this.#pending.length < length) break;
      const member = this.#pending.subarray(0, length);
      this.#pending = this.#pending.subarray(length);
      this.#memberIndex += 1;
      for (const action of this.#actions) {
        if (!('truncateAtMember' in action) || action.truncateAtMember !== this.#memberIndex) continue;
        this.#isPast = true;
        return { bytes: Buffer.concat(out), end: action.task };
      }
      out.push(...this.#pass(member));
    }
    return { bytes: Buffer.concat(out), end: undefined };
  }

  #pass(member: Buffer): readonly Buffer[] {
    const name = member.toString('latin1', 0, Math.max(0, member.indexOf(0)));
    if (/\/\d{8}$/.test(name)) {
      this.#chunkIndex += 1;
      this.#lastChunk = Buffer.from(member);
      return [];
    }
    if (!/\/\d{8}\.\w+$/.test(name)) return [member];
    return this.#passPair([this.#lastChunk, this.#checksum(member)]);
  }

  #checksum(member: Buffer): Buffer {
    const isWrong = this.#actions.some(
      (action) => 'wrongChecksumAtChunk' in action && action.wrongChecksumAtChunk === this.#chunkIndex,
    );
    if (!isWrong) return member;
    const wrong = Buffer.from(member);
    wrong[BLOCK_BYTES] = wrong[BLOCK_BYTES] === 0x30 ? 0x31 : 0x30;
    return wrong;
  }

  #passPair(pair: readonly Buffer[]): readonly Buffer[] {
    for (const action of this.#actions) {
      if ('duplicateChunk' in action && action.duplicateChunk === this.#chunkIndex) return [...pair, ...pair];
      if ('swapChunk' in action && action.swapChunk === this.#chunkIndex) {
        this.#kept = pair.map((member) => Buffer.from(member));
        return [];
      }
    }
    const kept = this.#kept;
    this.#kept = [];
    return [...pair, ...kept];
  }
}

/** Header, data and padding. */
function memberLength(header: Buffer): number {
  const sizeBytes = Number.parseInt(header.toString('latin1', SIZE_AT, SIZE_AT + SIZE_LENGTH), 8);
  return BLOCK_BYTES + Math.ceil((Number.isNaN(sizeBytes) ? 0 : sizeBytes) / BLOCK_BYTES) * BLOCK_BYTES;
}
