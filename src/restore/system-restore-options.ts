import { z } from 'zod';
import { schemaMistakes } from '../common/schema-mistakes.js';
import { BackupError, type RestoreRequest, type SavesetItem, type SavesetRecord } from '../contract/index.js';

const optionsSchema = z.strictObject({
  /** UUID of what is overwritten: without it nothing is changed. */
  confirm: z.string().max(64).optional(),
  /** Which host gets the backup of a host, by UUID or name; default: the one that was saved. */
  host: z.string().max(1024).optional(),
  /** `https`: the data of this task goes over https whatever the client's setting says. */
  http: z.literal('https').optional(),
});

/** A request to bring back a pool's metadata or a host that makes sense in itself. */
export interface SystemRestoreWish {
  readonly confirm: string | undefined;
  readonly host: string | undefined;
  readonly forceHttps: boolean;
}

/**
 * Checks all of a request that can be checked without the pool.
 * @param what is restored, as a sentence begins with it.
 * @throws {BackupError} REQUEST_INVALID, with what to type instead.
 */
export function parseSystemRestore(request: RestoreRequest, record: SavesetRecord, what: string): SystemRestoreWish {
  const { mode, name, storage, startAfter = false, options = {} } = request;
  const { displayName, kind } = record.source;
  if (mode !== 'overwrite') {
    throw new BackupError('REQUEST_INVALID', `${what} can't be restored as something new.`, {
      hint: `Type: xen-backup restore ${record.savesetId} --overwrite. That only asks and changes nothing, until you add -o confirm=<uuid>.`,
    });
  }
  const refused: readonly (readonly [boolean, string])[] = [
    [name !== undefined && name !== displayName, 'a name'],
    [storage !== undefined, 'a storage'],
    [startAfter, 'a start afterwards'],
    [options.host !== undefined && kind !== 'host', 'the option host'],
  ];
  const [first] = refused.filter(([isGiven]) => isGiven);
  if (first !== undefined) {
    throw new BackupError('REQUEST_INVALID', `${what} takes no ${first[1].replace(/^(a|the) /, '')}.`, {
      hint: `Type: xen-backup restore ${record.savesetId} --overwrite.`,
    });
  }
  const parsed = optionsSchema.safeParse(options);
  if (!parsed.success) {
    const known =
      kind === 'host' ? 'confirm=<uuid>, host=<uuid or name> and http=https' : 'confirm=<uuid> and http=https';
    throw new BackupError('REQUEST_INVALID', `The options are not valid: ${schemaMistakes(parsed.error)}.`, {
      hint: `Such restores know the options ${known}.`,
    });
  }
  const { confirm, host, http } = parsed.data;
  return { confirm, host, forceHttps: http === 'https' };
}

/**
 * True when the request names what it overwrites; false when it names nothing, and nothing may be changed.
 * @throws {BackupError} REQUEST_INVALID when it names something else.
 */
export function isConfirmed(confirm: string | undefined, uuid: string, what: string): boolean {
  if (confirm === undefined) return false;
  if (confirm.toLowerCase() === uuid.toLowerCase()) return true;
  throw new BackupError('REQUEST_INVALID', `The confirmation is not for ${what}, which would be overwritten.`, {
    hint: `If that is what you want, type: -o confirm=${uuid}`,
    context: { expected: uuid },
  });
}

/** @throws {BackupError} SAVESET_INVALID when the record's details are not of that form. */
export function parseSystemDetails<Details>(schema: z.ZodType<Details>, record: SavesetRecord): Details {
  const parsed = schema.safeParse(record.details);
  if (parsed.success) return parsed.data;
  throw new BackupError('SAVESET_INVALID', `The saveset does not say what it is of: ${schemaMistakes(parsed.error)}`, {
    hint: 'The record is damaged, or was written by another provider or a newer version.',
    context: { saveset: record.savesetId },
  });
}

/** @throws {BackupError} SAVESET_INVALID when it is not there. */
export function itemOf(record: SavesetRecord, name: string): SavesetItem {
  const item = record.items.find((one) => one.name === name);
  if (item !== undefined) return item;
  throw new BackupError('SAVESET_INVALID', `The saveset has no item ${name}.`, {
    hint: 'The record is damaged, or was written by a newer version.',
    context: { saveset: record.savesetId },
  });
}
