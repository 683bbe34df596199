import { createXXHash64 } from 'hash-wasm';

const engine = await createXXHash64();
const emptyState = engine.init().save();
let owner: Xxh64 | undefined;

/**
 * XXH64 with seed 0, in pieces. Any number may be in use at once: they share one WebAssembly instance, whose state moves
 * when another takes over, which costs well under a microsecond a piece.
 */
export class Xxh64 {
  #state = emptyState;

  update(bytes: Uint8Array): void {
    this.#takeOver();
    engine.update(bytes);
  }

  /** The digest so far as XAPI writes it, 16 upper-case hex digits; the next `update` begins anew. */
  digest(): string {
    this.#takeOver();
    const hexadecimal = engine.digest('hex').toUpperCase();
    owner = undefined;
    this.#state = emptyState;
    return hexadecimal;
  }

  #takeOver(): void {
    if (owner === this) return;
    if (owner !== undefined) owner.#state = engine.save();
    engine.load(this.#state);
    owner = this;
  }
}
