/** What a pool or an archive says of the release it comes from. */
export interface KnownRelease {
  readonly brand: string;
  readonly version: string;
}

/** True when both are of one brand and `saved` is the later: a pool refuses archives of releases after its own. */
export function isNewerRelease(saved: KnownRelease, pool: KnownRelease): boolean {
  if (saved.brand !== pool.brand) return false;
  const [ours, theirs] = [numbersOf(saved.version), numbersOf(pool.version)];
  if (ours === undefined || theirs === undefined) return false;
  for (let at = 0; at < Math.max(ours.length, theirs.length); at += 1) {
    const difference = (ours[at] ?? 0) - (theirs[at] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}

function numbersOf(version: string): readonly number[] | undefined {
  return /^\d+(\.\d+)*$/.test(version) ? version.split('.').map(Number) : undefined;
}
