import { formatBytes } from '../common/byte-size.js';
import { type CheckLine } from '../contract/index.js';
import { freeBytesOf } from '../restore/storage-choice.js';
import { type SrRecord } from '../xapi/xapi-records.js';

/** A storage that is fuller than this is worth a word. */
const LOW_SPACE_FRACTION = 0.1;

const ROOM = 'Snapshots and restores need room there.';

export interface StorageFacts {
  readonly record: Pick<
    SrRecord,
    'name_label' | 'type' | 'content_type' | 'is_tools_sr' | 'physical_size' | 'physical_utilisation'
  >;
  readonly isDefault: boolean;
  /** Names of the hosts that should see it and don't. */
  readonly detachedFrom: readonly string[];
}

export function isForDisks({ content_type: content, type, is_tools_sr: isTools }: StorageFacts['record']): boolean {
  return !isTools && !['iso', 'disk'].includes(content) && !['iso', 'udev'].includes(type);
}

/** Where restores go, where snapshots find room, and what is not plugged. */
export function storageFindings(storages: readonly StorageFacts[]): readonly CheckLine[] {
  const forDisks = storages.filter(({ record }) => isForDisks(record));
  const standard = forDisks.find(({ isDefault }) => isDefault);
  const first: CheckLine =
    standard === undefined
      ? {
          status: 'warning',
          check: 'default-storage',
          message: 'The pool has no default storage for disks.',
          hint: 'A restore must name its storage, or set a default storage in the pool.',
        }
      : spaceFinding('default-storage', `The default storage "${standard.record.name_label}"`, standard);
  const others = forDisks
    .filter((storage) => storage !== standard)
    .map((storage) => spaceFinding('storage', `The storage "${storage.record.name_label}"`, storage));
  return [first, ...others, ...forDisks.flatMap(attachFindings)];
}

function spaceFinding(check: string, what: string, { record }: StorageFacts): CheckLine {
  const freeBytes = freeBytesOf(record);
  const message = `${what} has ${formatBytes(freeBytes)} of ${formatBytes(record.physical_size)} left.`;
  return freeBytes < record.physical_size * LOW_SPACE_FRACTION
    ? { status: 'warning', check, message, hint: ROOM }
    : { status: 'ok', check, message };
}

function attachFindings({ record, detachedFrom }: StorageFacts): readonly CheckLine[] {
  if (detachedFrom.length === 0) return [];
  return [
    {
      status: 'warning',
      check: 'storage',
      message: `The storage "${record.name_label}" is not attached to ${detachedFrom.join(', ')}.`,
      hint: 'Repair it in the pool: machines with disks there can run and be saved only where it is attached.',
    },
  ];
}
