/**
 * Why a disk was saved at its level: what a record says of each disk, and what a person reads. `docs/options.md` has a row
 * for each, and a spec keeps both equal.
 */
export const LEVEL_REASONS = [
  /** Only what was written since the base is saved, as the pool's changed-block tracking tells it. */
  'CBT_OK',
  /** Only what was written since the base is saved, as the storage finds it between the base and the new snapshot. */
  'SNAPSHOT_DIFFERENCE',
  /** A full was asked for, or is due. */
  'POLICY',
  'BASE_MISSING',
  'CBT_DISABLED',
  'CBT_INVALID',
  'DISK_NEW',
  'DISK_RESIZED',
  'DISK_REVERTED',
  'NO_LICENCE',
  'SR_WITHOUT_CBT',
  'NBD_UNAVAILABLE',
] as const;

export type LevelReason = (typeof LEVEL_REASONS)[number];

/** Each reason for a full as the end of a sentence about a disk. */
export const FULL_BECAUSE: Readonly<Record<LevelReason, string>> = {
  CBT_OK: 'it is not saved in full',
  SNAPSHOT_DIFFERENCE: 'it is not saved in full',
  POLICY: 'a full is due',
  BASE_MISSING: 'what an increment would build on is not there any more',
  CBT_DISABLED: 'changed-block tracking was off when it was written to',
  CBT_INVALID: 'the pool lost track of what was written to it',
  DISK_NEW: 'it is new since the last backup',
  DISK_RESIZED: 'its size has changed',
  DISK_REVERTED: 'it was reverted or replaced since the last backup',
  NO_LICENCE: "the pool's licence does not include changed-block tracking",
  SR_WITHOUT_CBT: 'its storage has no changed-block tracking',
  NBD_UNAVAILABLE: 'no network of the pool carries NBD, and no whole snapshot was kept',
};
