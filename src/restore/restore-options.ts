import { z } from 'zod';
import { schemaMistakes } from '../common/schema-mistakes.js';
import {
  BackupError,
  type Options,
  type RestoreRequest,
  type SavesetItem,
  type SavesetRecord,
} from '../contract/index.js';
import { type MachineDetails, machineDetailsSchema } from '../format/machine-details.js';
import { type StorageRule } from './disk-places.js';
import { type SavedDisk, selectDisks } from './disk-selection.js';
import { type NetworkRule } from './network-map.js';

/** One name or several; several also as one text with commas. What looks like a number is a disk's position. */
const nameList = z
  .union([
    z.string(),
    z.int().nonnegative().transform(String),
    z.array(z.union([z.string(), z.int()]).transform(String)),
  ])
  .transform((value) => (typeof value === 'string' ? value.split(',') : value).map((name) => name.trim()))
  .refine((names) => names.every((name) => name !== ''), 'must name disks')
  .optional();
const keepOrDrop = z.enum(['keep', 'drop']).optional();

const optionsSchema = z.strictObject({
  /** MAC addresses of the backup, or new ones. Default: `keep` with overwrite, `generate` without. */
  mac: z.enum(['keep', 'generate']).optional(),
  /** What to do with a machine that runs and is to be overwritten. Default: refuse. */
  stop: z.enum(['clean', 'hard']).optional(),
  /** `https`: the data of this task goes over https whatever the client's setting says. */
  http: z.literal('https').optional(),
  /** Whether these settings of the backup come back. Default: keep. */
  tags: keepOrDrop,
  ha: keepOrDrop,
  autostart: keepOrDrop,
  /** The disks that come back, or those that do not. Default: all. */
  disks: nameList,
  excludeDisks: nameList,
  /** The host that it is to run on, by UUID or name. Default: as the pool decides. */
  host: z.string().trim().min(1).optional(),
});

/** Options of these beginnings map one thing to another: `network.<from>=<to>`, `storage.<disk>=<to>`. */
const NETWORK_PREFIX = 'network.';
const STORAGE_PREFIX = 'storage.';
const OPTION_NAMES = [...Object.keys(optionsSchema.shape), `${NETWORK_PREFIX}<from>`, `${STORAGE_PREFIX}<disk>`];
const mappedName = z.union([z.string().trim().min(1), z.int().nonnegative()]).transform(String);

/** Settings of the backup that do not come back. */
export interface DroppedSettings {
  readonly tags: boolean;
  readonly highAvailability: boolean;
  readonly autostart: boolean;
}

/** A restore request that makes sense in itself, with defaults filled in and the record understood. */
export interface RestoreWish {
  readonly mode: 'new' | 'overwrite';
  /** Name of the new machine, or the saved name. */
  readonly name: string;
  readonly storage: string | undefined;
  /** Disks that go elsewhere than the others. */
  readonly storages: readonly StorageRule[];
  /** The saved disks that come back, and those that do not. */
  readonly disks: readonly SavedDisk[];
  readonly leftOut: readonly SavedDisk[];
  /** The host that it shall run on. */
  readonly host: string | undefined;
  readonly startAfter: boolean;
  readonly macs: 'keep' | 'generate';
  readonly networks: readonly NetworkRule[];
  readonly drops: DroppedSettings;
  readonly stop: 'clean' | 'hard' | undefined;
  readonly forceHttps: boolean;
  /** The saveset holds the machine's memory: it comes back suspended. */
  readonly hasMemory: boolean;
  readonly details: MachineDetails;
  /** The archive of the machine, or its metadata when the saveset has an item for each disk. */
  readonly item: SavesetItem;
  /** Bytes that the saveset holds of all disks together; with increments at most so many. */
  readonly storedBytes: number;
  readonly savesetId: string;
}

/**
 * Checks all of a request that can be checked without the pool.
 * @throws {BackupError} REQUEST_INVALID, TARGET_NAME_REQUIRED, SAVESET_INVALID.
 */
export function parseRestoreRequest(request: RestoreRequest, record: SavesetRecord): RestoreWish {
  const { mode } = request;
  if (mode === 'disk') {
    throw new BackupError('INTERNAL', 'A request for one disk was taken for one of a machine.');
  }
  if (request.disk !== undefined || request.attachTo !== undefined) {
    throw new BackupError('REQUEST_INVALID', 'disk and attachTo belong to the mode "disk".', {
      hint: 'To bring back a machine with some of its disks, use the option disks.',
    });
  }
  const { settings, networks, storages } = parseOptions(request.options ?? {});
  const details = parseDetails(record);
  const { mac, stop, http } = settings;
  const hasMemory = record.consistency === 'memory';
  if (request.startAfter === true && details.machine.isTemplate) {
    throw new BackupError('REQUEST_INVALID', 'A template is never started.', { hint: 'Restore it without a start.' });
  }
  if (stop !== undefined && request.mode === 'new') {
    throw new BackupError('REQUEST_INVALID', 'The option stop belongs to mode overwrite.', {
      hint: 'A restore as a new machine stops nothing.',
    });
  }
  if (hasMemory && mac === (request.mode === 'new' ? 'keep' : 'generate')) {
    throw new BackupError(
      'REQUEST_INVALID',
      'The network interfaces of a machine that comes back with its memory cannot be made anew.',
      {
        hint:
          request.mode === 'new'
            ? 'Leave mac=keep out: as a new machine it gets new addresses.'
            : 'Leave mac=generate out: it keeps its addresses.',
      },
    );
  }
  const disks = selectDisks({ only: settings.disks, except: settings.excludeDisks }, details.disks);
  const leftOut = details.disks.filter((disk) => !disks.includes(disk));
  if (hasMemory && leftOut.length > 0) {
    throw new BackupError('REQUEST_INVALID', 'A machine that comes back with its memory needs all of its disks.', {
      hint: 'Leave out disks and excludeDisks, or restore a backup without memory.',
    });
  }
  return {
    mode,
    name: targetName(request, details),
    storage: request.storage,
    storages,
    disks,
    leftOut,
    host: settings.host,
    startAfter: request.startAfter ?? false,
    macs: mac ?? (request.mode === 'overwrite' ? 'keep' : 'generate'),
    networks,
    drops: {
      tags: settings.tags === 'drop',
      highAvailability: settings.ha === 'drop',
      autostart: settings.autostart === 'drop',
    },
    stop,
    forceHttps: http === 'https',
    hasMemory,
    details,
    item: archiveItem(record),
    storedBytes: storedBytes(record),
    savesetId: record.savesetId,
  };
}

function parseOptions(options: Options): {
  readonly settings: z.infer<typeof optionsSchema>;
  readonly networks: readonly NetworkRule[];
  readonly storages: readonly StorageRule[];
} {
  const entries = Object.entries(options);
  const isMap = ([key]: readonly [string, unknown]): boolean =>
    key.startsWith(NETWORK_PREFIX) || key.startsWith(STORAGE_PREFIX);
  const settings = optionsSchema.safeParse(Object.fromEntries(entries.filter((entry) => !isMap(entry))));
  if (!settings.success) throw invalidOptions(`${schemaMistakes(settings.error)}.`);
  const mapped = (prefix: string): { from: string; to: string }[] =>
    entries
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => {
        const from = key.slice(prefix.length).trim();
        const to = mappedName.safeParse(value);
        if (from === '' || !to.success) throw invalidOptions(`"${key}" does not map one thing to another.`);
        return { from, to: to.data };
      });
  return {
    settings: settings.data,
    networks: mapped(NETWORK_PREFIX),
    storages: mapped(STORAGE_PREFIX).map(({ from, to }) => ({ disk: from, to })),
  };
}

function invalidOptions(why: string): BackupError {
  return new BackupError('REQUEST_INVALID', `The options are not valid: ${why}`, {
    hint: `Restores know the options ${OPTION_NAMES.join(', ')}.`,
  });
}

function targetName({ mode, name }: RestoreRequest, { machine }: MachineDetails): string {
  if (mode === 'new') {
    if (name !== undefined && name.trim() !== '') return name;
    throw new BackupError('TARGET_NAME_REQUIRED', 'A restore as a new machine needs a name for it.', {
      hint: 'Give a name that no machine of the pool has.',
    });
  }
  if (name !== undefined && name !== machine.name) {
    throw new BackupError(
      'REQUEST_INVALID',
      `Overwriting "${machine.name}" and calling it "${name}" contradict each other.`,
      { hint: `Overwrite without a name, or restore as a new machine called "${name}".` },
    );
  }
  return machine.name;
}

/** @throws {BackupError} SAVESET_INVALID */
export function parseDetails(record: SavesetRecord): MachineDetails {
  const parsed = machineDetailsSchema.safeParse(record.details);
  if (parsed.success) return parsed.data;
  throw new BackupError(
    'SAVESET_INVALID',
    `The saveset does not say what its machine was: ${schemaMistakes(parsed.error)}`,
    {
      hint: 'The record is damaged, or was written by another provider or a newer version.',
      context: { saveset: record.savesetId },
    },
  );
}

function storedBytes({ disks, items }: SavesetRecord): number {
  const isWhole = disks.every(({ level }) => level === 'full' || level === 'copy');
  const sizes = isWhole ? items.map(({ bytes }) => bytes) : disks.map(({ sizeBytes }) => sizeBytes);
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}

function archiveItem(record: SavesetRecord): SavesetItem {
  const archives = record.items.filter(({ kind }) => kind === 'machine-archive' || kind === 'machine-metadata');
  const [item, second] = archives;
  if (item !== undefined && second === undefined) return item;
  throw new BackupError('SAVESET_INVALID', `The saveset has ${archives.length} machine archives; it must have one.`, {
    hint: 'The record is damaged, or was written by a newer version.',
    context: { saveset: record.savesetId },
  });
}
