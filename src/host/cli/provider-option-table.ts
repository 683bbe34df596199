/** One option of the provider that this package brings, for people. */
export interface ProviderOption {
  readonly name: string;
  /** What it takes, the default first or named. */
  readonly values: string;
  readonly meaning: string;
}

/** `-o` of `xen-backup backup`. A spec keeps it equal to what the provider takes and to `docs/options.md`. */
export const BACKUP_OPTIONS: readonly ProviderOption[] = [
  { name: 'http', values: 'https', meaning: 'this task goes over https whatever the client says' },
  {
    name: 'consistency',
    values: 'offline|crash|quiesced|memory',
    meaning: 'default: tags, then what the guest offers',
  },
  { name: 'quiesce', values: 'prefer|require|never', meaning: 'a guest that cannot be quiesced' },
  { name: 'shutdown', values: 'fail|force|snapshot', meaning: 'offline, and it does not shut down' },
  { name: 'shutdownTimeoutSeconds', values: '600', meaning: 'how long it may take' },
  { name: 'offline', values: 'whole|short', meaning: 'stay down until all is saved, or only until a snapshot is made' },
  { name: 'space', values: 'check|skip', meaning: 'look at free space before a snapshot' },
  { name: 'chain', values: 'wait|skip|force', meaning: 'storage that has fallen behind with merging' },
  { name: 'chainTimeoutSeconds', values: '600', meaning: 'how long to wait for it' },
  { name: 'format', values: 'xva|disks', meaning: 'one archive, or one VHD a disk (needed beyond full)' },
  { name: 'maxChain', values: '14', meaning: 'savesets in a chain before auto begins anew' },
  { name: 'onFullFallback', values: 'warn|allow|fail', meaning: 'a disk that can only be saved in full' },
  { name: 'base', values: 'metadata|snapshot', meaning: 'what stays in the pool for the next increment' },
  { name: 'disks', values: '0,1', meaning: 'only these disks, by position, name or UUID' },
  { name: 'excludeDisks', values: '2', meaning: 'all but these' },
];

/** `-o` of `xen-backup restore`; the same spec. */
export const RESTORE_OPTIONS: readonly ProviderOption[] = [
  { name: 'storage.<disk>', values: '<storage>', meaning: 'where one disk goes; disk by position, name or UUID' },
  { name: 'disks', values: '0,1', meaning: 'only these disks come back' },
  { name: 'excludeDisks', values: '2', meaning: 'all but these' },
  { name: 'host', values: '<host>', meaning: 'where it shall run (of a host backup: which host gets it)' },
  { name: 'network.<from>', values: '<to>', meaning: 'another network; both by UUID, name or VLAN' },
  { name: 'mac', values: 'keep|generate', meaning: 'default: keep with --overwrite, generate with --as' },
  { name: 'tags', values: 'keep|drop', meaning: 'tags of the backup' },
  { name: 'ha', values: 'keep|drop', meaning: 'its HA priority' },
  { name: 'autostart', values: 'keep|drop', meaning: 'its automatic start' },
  { name: 'stop', values: 'clean|hard', meaning: 'with --overwrite: stop it when it runs (default: refuse)' },
  { name: 'check', values: 'content|size', meaning: 'with --disk: read the new disk again and compare, or not' },
  { name: 'http', values: 'https', meaning: 'this task goes over https whatever the client says' },
  { name: 'confirm', values: '<UUID>', meaning: 'pool and host: what is replaced; without it nothing is' },
];

/** Help text: one line an option. */
export function optionHelp(options: readonly ProviderOption[]): string {
  const left = options.map(({ name, values }) => `${name}=${values}`);
  const width = Math.max(...left.map((text) => text.length));
  return options.map(({ meaning }, index) => `  ${(left[index] ?? '').padEnd(width)}  ${meaning}`).join('\n');
}
