import { BackupError, type ResolvedSource, type SavesetRecord } from '../../contract/index.js';
import { byAge } from './prune-plan.js';

/** Longer ones are a mistake of somebody's, or a ring. */
const MAX_CHAIN = 10_000;

/** Why a saveset can't be restored although its own items may be there. */
export interface ChainProblem {
  /** The member that breaks the chain. */
  readonly member: string;
  /** A sentence. */
  readonly message: string;
}

/** What a saveset builds on, its parent first and the full last, or the member that breaks the chain. Pure. */
export function followChain(
  record: SavesetRecord,
  byId: ReadonlyMap<string, SavesetRecord>,
): { readonly ancestors: readonly SavesetRecord[]; readonly problem?: ChainProblem } {
  const ancestors: SavesetRecord[] = [];
  let child = record;
  while (child.parentSavesetId !== undefined) {
    const member = child.parentSavesetId;
    const parent = byId.get(member);
    const message = problemOf(record, child, parent, ancestors.length);
    if (parent === undefined || message !== undefined) {
      return { ancestors, problem: { member, message: message ?? '' } };
    }
    ancestors.push(parent);
    child = parent;
  }
  return { ancestors };
}

/**
 * As `followChain`, for a restore.
 * @throws {BackupError} CHAIN_BROKEN
 */
export function ancestorsOf(record: SavesetRecord, byId: ReadonlyMap<string, SavesetRecord>): readonly SavesetRecord[] {
  const { ancestors, problem } = followChain(record, byId);
  if (problem === undefined) return ancestors;
  throw new BackupError('CHAIN_BROKEN', `${record.savesetId} can't be restored: ${problem.message}`, {
    hint: `Bring ${problem.member} back from a copy of the repository, or use another saveset.`,
    context: { savesetId: record.savesetId, member: problem.member },
  });
}

/** The savesets of a source, oldest first. What is broken among them is no ground to build on, but tells that there was a chain. */
export function historyOf(records: readonly SavesetRecord[], { kind, id }: ResolvedSource): readonly SavesetRecord[] {
  return records.filter(({ source }) => source.kind === kind && source.id === id).sort(byAge);
}

function problemOf(
  record: SavesetRecord,
  child: SavesetRecord,
  parent: SavesetRecord | undefined,
  depth: number,
): string | undefined {
  if (parent === undefined) return `${child.savesetId} builds on ${child.parentSavesetId ?? ''}, which is not there.`;
  if (parent.source.id !== record.source.id || parent.providerId !== record.providerId) {
    return `${child.savesetId} builds on ${parent.savesetId}, which is of another source.`;
  }
  if (parent.savesetId === record.savesetId || depth >= MAX_CHAIN) {
    return `${child.savesetId} builds on ${parent.savesetId}, which builds on it.`;
  }
  return undefined;
}
