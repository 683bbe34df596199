import { type BaseSet, findBases, isHalfMade, type OwnBase, whyUseless } from '../backup/base-inventory.js';
import { type Finding, type ReconcileSituation } from './reconcile-plan.js';

export interface BasePlan {
  /** Bases whose saveset was never stored: they go whole. */
  readonly discarded: readonly { readonly set: BaseSet; readonly finding: Finding }[];
  /** Bases of stored savesets that a crash has left half made. */
  readonly unfinished: readonly { readonly set: BaseSet; readonly finding: Finding }[];
  /** Settled ones that nothing can build on any more. */
  readonly useless: readonly { readonly base: OwnBase; readonly finding: Finding }[];
  readonly kept: readonly Finding[];
}

/**
 * What is to become of the bases in the pool. Pure. Settled ones stay: only their host's repository knows who builds on
 * them.
 */
export function planBases(situation: ReconcileSituation): BasePlan {
  const plan = { discarded: [], unfinished: [], useless: [], kept: [] } as {
    -readonly [Key in keyof BasePlan]: BasePlan[Key][number][];
  };
  for (const set of findBases(situation.machines, situation.disks)) {
    if (set.host !== situation.hostId) {
      plan.kept.push(ofSet(set, `belongs to the host ${set.host}`));
    } else if (set.isSettled) {
      const useful = set.disks.filter((base) => {
        const why = whyUseless(base, situation.disks);
        if (why !== undefined) plan.useless.push({ base, finding: ofBase(base, why) });
        return why === undefined;
      });
      const rest = { ...set, disks: useful };
      if (isHalfMade(rest)) {
        plan.unfinished.push({ set: rest, finding: ofSet(set, `the base of saveset ${set.savesetId} was half made`) });
      }
      for (const base of useful) plan.kept.push(ofBase(base, `increments build on it: saveset ${set.savesetId}`));
    } else if (isPending(set, situation)) {
      plan.kept.push(ofSet(set, `saveset ${set.savesetId} may still be stored`));
    } else {
      plan.discarded.push({ set, finding: ofSet(set, `saveset ${set.savesetId} was never stored`) });
    }
  }
  return plan;
}

function isPending({ savesetId, aliveUntilMs }: BaseSet, { stateOf, nowMs }: ReconcileSituation): boolean {
  return stateOf(savesetId) === 'running' || aliveUntilMs > nowMs;
}

function ofBase({ record }: OwnBase, why: string): Finding {
  return { kind: 'base', id: record.uuid, name: record.name_label, why };
}

function ofSet({ snapshot, disks, savesetId }: BaseSet, why: string): Finding {
  const record = snapshot?.record ?? disks[0]?.record;
  return { kind: 'base', id: record?.uuid ?? savesetId, name: record?.name_label ?? savesetId, why };
}
