import { type CommandModule } from './command-module.js';

export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

/** Every sub-command, in the order of the help. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'simulate',
    summary: 'Start a simulated pool, to try everything without a server',
    load: async () => (await import('./simulate-command.js')).simulateCommand,
  },
  {
    name: 'trust',
    summary: "Show a server's certificate and how to pin it",
    load: async () => (await import('./trust-command.js')).trustCommand,
  },
  {
    name: 'check',
    summary: 'Look at everything that a backup or restore will need',
    load: async () => (await import('./check-command.js')).checkCommand,
  },
  {
    name: 'browse',
    summary: 'Show what can be saved',
    load: async () => (await import('./browse-command.js')).browseCommand,
  },
  {
    name: 'backup',
    summary: 'Save one or more sources into the repository',
    load: async () => (await import('./backup-command.js')).backupCommand,
  },
  {
    name: 'restore',
    summary: 'Bring a saveset back, beside what exists or over it',
    load: async () => (await import('./restore-command.js')).restoreCommand,
  },
  {
    name: 'list',
    summary: 'List the savesets of the repository',
    load: async () => (await import('./list-command.js')).listCommand,
  },
  {
    name: 'show',
    summary: 'Show one saveset in full',
    load: async () => (await import('./show-command.js')).showCommand,
  },
  {
    name: 'verify',
    summary: 'Read savesets again and compare every byte with its digest',
    load: async () => (await import('./verify-command.js')).verifyCommand,
  },
  {
    name: 'prune',
    summary: 'Remove old savesets and keep the newest of each source',
    load: async () => (await import('./prune-command.js')).pruneCommand,
  },
  {
    name: 'reconcile',
    summary: 'Remove what a crashed run left behind',
    load: async () => (await import('./reconcile-command.js')).reconcileCommand,
  },
];
