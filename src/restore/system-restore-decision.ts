import { type RestorePlan, type SavesetItem } from '../contract/index.js';
import { type ItemRestore, type ItemRestoreOutcome } from './item-restore-runner.js';
import { type SystemRestoreWish } from './system-restore-options.js';

/** What a restore of a pool's metadata or a host comes to. It only tries until what it overwrites has been named. */
export interface SystemRestoreDecision {
  readonly wish: SystemRestoreWish;
  readonly item: SavesetItem;
  /** UUID and name of what is overwritten. */
  readonly targetId: string;
  readonly targetName: string;
  readonly isConfirmed: boolean;
  readonly consequences: readonly string[];
  readonly warnings: RestorePlan['warnings'];
}

/** @param trial the step that changes nothing. */
export function systemRestorePlan(
  { targetId, targetName, isConfirmed, consequences, warnings }: SystemRestoreDecision,
  trial: { readonly action: string; readonly description: string },
  storage: { readonly name: string; readonly neededBytes: number },
): RestorePlan {
  const destroy = consequences.map((description) => ({ action: 'replace', description, isDestructive: true }));
  return {
    mode: 'overwrite',
    targetName,
    targetId,
    storage: { id: targetId, ...storage },
    steps: [{ ...trial, isDestructive: false }, ...(isConfirmed ? destroy : [])],
    warnings: isConfirmed
      ? warnings
      : [...warnings, { code: 'NOT_CONFIRMED', message: notConfirmed(targetId, consequences) }],
  };
}

/**
 * Tries, and goes through with it when that is confirmed.
 * @param words the code of the warning that something is replaced, and a sentence for a trial that ended well.
 */
export async function tryThenReplace(
  { targetId, targetName, isConfirmed, consequences, warnings }: SystemRestoreDecision,
  { enter, warn }: Pick<ItemRestore, 'enter' | 'warn'>,
  words: { readonly replaced: string; readonly triedWell: string },
  attempt: () => Promise<void>,
  replace: () => Promise<void>,
): Promise<ItemRestoreOutcome> {
  for (const { code, message } of warnings) warn(code, message);
  enter('check');
  await attempt();
  if (isConfirmed) {
    for (const message of consequences) warn(words.replaced, message);
    enter('import');
    await replace();
  } else warn('NOT_CONFIRMED', `${words.triedWell} ${notConfirmed(targetId, consequences)}`);
  return { targetId, targetName, isTrialOnly: !isConfirmed };
}

function notConfirmed(uuid: string, consequences: readonly string[]): string {
  return `Nothing is changed without a confirmation. With -o confirm=${uuid}: ${consequences.join(' ')}`;
}
