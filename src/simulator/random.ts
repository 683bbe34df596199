/** Repeatable randomness: the same seed gives the same pool, identifiers included. */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** A whole number from 0 to 2^32 - 1 (xorshift-multiply, Murmur3's finaliser over a Weyl sequence). */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return (mixed ^ (mixed >>> 16)) >>> 0;
  }

  bytes(length: number): Buffer {
    const out = Buffer.alloc(length);
    for (let index = 0; index < length; index += 1) out[index] = this.next() & 0xff;
    return out;
  }

  /** A version 4 UUID in lower case. */
  uuid(): string {
    const raw = this.bytes(16);
    raw[6] = ((raw[6] ?? 0) & 0x0f) | 0x40;
    raw[8] = ((raw[8] ?? 0) & 0x3f) | 0x80;
    const hex = raw.toString('hex');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  }

  /** A locally administered unicast MAC address, as XAPI makes them. */
  mac(): string {
    const raw = this.bytes(6);
    raw[0] = ((raw[0] ?? 0) & 0xfc) | 0x02;
    return [...raw].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  }
}
