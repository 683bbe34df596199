/** What `VDI.create` must be told of a plain disk, besides its storage and its size. */
export const PLAIN_DISK = { type: 'user', sharable: false, read_only: false, other_config: {} } as const;

/** What `VBD.create` must be told of a drive for a plain disk, besides the machine, the disk and its place. */
export const PLAIN_DRIVE = {
  bootable: false,
  mode: 'RW',
  type: 'Disk',
  empty: false,
  other_config: {},
  qos_algorithm_type: '',
  qos_algorithm_params: {},
} as const;
