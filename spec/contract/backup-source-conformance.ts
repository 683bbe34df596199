import { expect } from 'chai';
import {
  type BackupRequest,
  type BackupSource,
  type BackupSourceProvider,
  type ClientConfig,
  type Options,
  type PluginContributions,
} from '../../src/contract/index.js';
import { describeBackup } from './conformance/backup-rules.js';
import { describeBrowsing } from './conformance/browse-rules.js';
import { describeCancelling } from './conformance/cancel-rules.js';
import { describeRestore } from './conformance/restore-rules.js';

/**
 * The rules of the contract as specs that any provider can run:
 *
 *   describeBackupSource({ name: 'my provider', setUp: async () => ({ ... }) });
 *
 * Each spec gets a subject of its own from `setUp`, opens it, and gives it back with `tearDown`.
 */
export interface ConformanceSubject {
  /** What the activated plugin contributes. */
  readonly contributions: PluginContributions;
  readonly client: ClientConfig;
  /** Path (`vm/<id>`) of a small running and a small halted machine, each more than 256 KiB of data that is not zeros. */
  readonly runningMachine: string;
  readonly haltedMachine: string;
  /** A name that fits nothing, and one that fits more than one object. */
  readonly unknownName: string;
  readonly ambiguousName: string;
  /** Options for every backup and restore. Default: none. */
  readonly options?: Options;
  /** Digest over the bytes of all disks of the machine with that id, as they are now. */
  readDisks(machineId: string): Promise<string>;
  /** Changes some bytes of the disks of that machine. */
  changeDisks(machineId: string): Promise<void>;
  /** Ids of all machines that exist now (no snapshots, no templates). */
  machineIds(): Promise<readonly string[]>;
  /**
   * What a backup or restore has left at the source, in words: snapshots, tasks, half-made machines, orphaned disks; and,
   * once the source `isClosed`, sessions too. Empty when clean.
   */
  leftovers(state: { readonly isClosed: boolean }): Promise<readonly string[]>;
  tearDown(): Promise<void>;
}

export interface ConformanceCase {
  readonly name: string;
  readonly setUp: () => Promise<ConformanceSubject>;
}

/** What the rules work with: the subject, opened. */
export interface OpenedSubject {
  readonly subject: ConformanceSubject;
  readonly provider: BackupSourceProvider;
  readonly source: BackupSource;
  readonly request: (source: string, more?: Partial<BackupRequest>) => BackupRequest;
}

export function describeBackupSource({ name, setUp }: ConformanceCase): void {
  describe(`${name} keeps the contract`, () => {
    let opened: OpenedSubject | undefined;
    let savesets = 0;

    beforeEach(async () => {
      const subject = await setUp();
      const provider = subject.contributions.sources[0]!;
      const request = (source: string, more: Partial<BackupRequest> = {}): BackupRequest => {
        savesets += 1;
        const options = subject.options === undefined ? {} : { options: subject.options };
        return { source, savesetId: `conformance-${savesets}`, ...options, ...more };
      };
      opened = { subject, provider, source: await provider.open(subject.client), request };
    });

    afterEach(async () => {
      if (opened === undefined) return;
      const { source, subject } = opened;
      opened = undefined;
      await source.close();
      try {
        expect(await subject.leftovers({ isClosed: true }), 'left behind after close').to.deep.equal([]);
      } finally {
        await subject.tearDown();
      }
    });

    const current = (): OpenedSubject => opened!;
    describeBrowsing(current);
    describeBackup(current);
    describeCancelling(current);
    describeRestore(current);
  });
}
