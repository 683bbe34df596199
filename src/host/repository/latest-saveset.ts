import { BackupError, type SavesetRecord } from '../../contract/index.js';

/** How many sources a hint lists. */
const LISTED_SOURCES = 10;

/** Whether a person means this source by a path, an id or a name. */
export function isOf({ source: { path, kind, id, displayName } }: SavesetRecord, wanted: string): boolean {
  return [path, id, displayName, `${kind}/${displayName}`].includes(wanted);
}

/**
 * Pure: the newest saveset of the source that `wanted` means; `records` has the oldest first.
 * @throws {BackupError} SAVESET_NOT_FOUND; OBJECT_AMBIGUOUS when savesets of several sources bear that name or path.
 */
export function latestOf(records: readonly SavesetRecord[], wanted: string): SavesetRecord {
  const newest = newestOfEach(records.filter((record) => isOf(record, wanted)));
  const [found, ...others] = newest;
  if (found === undefined) throw notFound(records, wanted);
  if (others.length === 0) return found;
  throw new BackupError('OBJECT_AMBIGUOUS', `"${wanted}" means ${newest.length} different sources of the repository.`, {
    hint: 'Use the id of one of them, as it stands here, or the id of a saveset.',
    context: { source: wanted, candidates: newest.map(describe) },
  });
}

/** Ids are told apart by kind: a source keeps its id, whatever it is called. */
function newestOfEach(records: readonly SavesetRecord[]): readonly SavesetRecord[] {
  return [...new Map(records.map((record) => [`${record.source.kind}/${record.source.id}`, record])).values()];
}

function describe({ source: { id, kind, displayName, originName }, createdAt }: SavesetRecord): string {
  return `latest:${id} (${kind} "${displayName}" of "${originName}", last saved ${createdAt})`;
}

function notFound(records: readonly SavesetRecord[], wanted: string): BackupError {
  const names = newestOfEach(records).map(({ source: { path, kind, id, displayName } }) =>
    path === `${kind}/${id}` ? `${kind}/${displayName}` : path,
  );
  const listed = [...new Set(names)].slice(0, LISTED_SOURCES).join(', ');
  const all = '"xen-backup list" shows the savesets of the repository.';
  return new BackupError('SAVESET_NOT_FOUND', `There is no saveset latest:${wanted}.`, {
    hint: listed === '' ? all : `There are savesets of ${listed}. ${all}`,
  });
}
