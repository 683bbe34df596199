import { createXXHash64 } from 'hash-wasm';

const engine = await createXXHash64();
const emptyState = engine.init().save();

/**
 * XXH64 with seed 0, in pieces. Any number may be in use at once: they share one WebAssembly instance, whose state moves
 * when another takes over, which costs well under a microsecond a piece.
 */
export class Xxh64 {
  static #owner: Xxh64 | undefined;
  #state = emptyState;

  update(bytes: Uint8Array): void {
    Xxh64.#engage(this);
    engine.update(bytes);
  }

  /** The digest so far as XAPI writes it, 16 upper-case hex digits; the next `update` begins anew. */
  digest(): string {
    Xxh64.#engage(this);
    const hexadecimal = engine.digest('hex').toUpperCase();
    Xxh64.#owner = undefined;
    this.#state = emptyState;
    return hexadecimal;
  }

  static #engage(next: Xxh64): void {
    if (Xxh64.#owner === next) return;
    if (Xxh64.#owner !== undefined) Xxh64.#owner.#state = engine.save();
    engine.load(next.#state);
    Xxh64.#owner = next;
  }
}
