const SECTOR_BYTES = 512;
const MAX_CYLINDERS = 65535;

/** Cylinders, heads and sectors as the specification's appendix computes them; only old programs look at them. */
export function vhdGeometry(diskSizeBytes: number): { cylinders: number; heads: number; sectorsPerTrack: number } {
  const sectors = Math.min(diskSizeBytes / SECTOR_BYTES, MAX_CYLINDERS * 16 * 255);
  let sectorsPerTrack = 255;
  let heads = 16;
  if (sectors < MAX_CYLINDERS * 16 * 63) {
    sectorsPerTrack = 17;
    let tracks = Math.floor(sectors / sectorsPerTrack);
    heads = Math.max(4, Math.ceil(tracks / 1024));
    if (tracks >= heads * 1024 || heads > 16) {
      sectorsPerTrack = 31;
      heads = 16;
      tracks = Math.floor(sectors / sectorsPerTrack);
    }
    if (tracks >= heads * 1024) sectorsPerTrack = 63;
  }
  return { cylinders: Math.floor(Math.floor(sectors / sectorsPerTrack) / heads), heads, sectorsPerTrack };
}
