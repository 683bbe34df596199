/** A one-to-one scrambling of 32-bit numbers (the finisher of MurmurHash3, public domain). */
export function scramble(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** 32 bits out of a seed, which may be a number or any text (FNV-1a over its characters). */
export function seedBits(seed: number | string): number {
  let h = 0x811c9dc5;
  for (const character of String(seed)) h = Math.imul(h ^ (character.codePointAt(0) ?? 0), 0x01000193);
  return scramble(h);
}

/** A small generator of 32-bit numbers (xorshift): the same seed gives the same row in every process. */
export function numbersFrom(seed: number): () => number {
  let state = seed === 0 ? 1 : seed | 0;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
