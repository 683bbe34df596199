import { machineKind, machinePath } from '../browser/source-name.js';
import { type ResolvedSource, type SavesetRecord } from '../contract/index.js';
import { PROVIDER_ID } from '../session/source-identity.js';
import { type HostRecord, type PoolRecord, type VmRecord } from '../xapi/xapi-records.js';
import { type ChosenMachine } from './disk-choice.js';
import { machineDetails } from './machine-backup-plan.js';
import { type SavedContent } from './machine-content-exporter.js';

/** Where a machine lives. */
export interface Origin {
  readonly pool: PoolRecord | undefined;
  readonly coordinator: HostRecord | undefined;
}

export interface MachineRecordParts extends Origin {
  readonly savesetId: string;
  readonly startedAtMs: number;
  readonly completedAtMs: number;
  readonly moverHost: string;
  readonly warnings: SavesetRecord['warnings'];
  readonly saved: SavedContent;
  readonly chosen: ChosenMachine;
}

/** The saveset record of a machine whose data is on the medium. Pure. */
export function machineRecord(parts: MachineRecordParts): SavesetRecord {
  const { chosen, saved, pool, coordinator } = parts;
  const { machine, excluded } = chosen;
  const { plan, items, disks, chain, level } = saved;
  const poolName = pool?.name_label ?? '';
  const parentSavesetId = chain?.ancestors.at(-1);
  return {
    version: 1,
    savesetId: parts.savesetId,
    providerId: PROVIDER_ID,
    createdAt: new Date(parts.startedAtMs).toISOString(),
    completedAt: new Date(parts.completedAtMs).toISOString(),
    source: {
      ...toResolvedSource(machine.record),
      originId: pool?.uuid ?? '',
      // A pool of one host has no name of its own; people know it by its host's.
      originName: poolName === '' ? (coordinator?.name_label ?? '') : poolName,
    },
    level,
    ...(parentSavesetId === undefined ? {} : { parentSavesetId }),
    consistency: plan.consistency,
    items: [...items],
    disks: [...disks],
    warnings: [...parts.warnings],
    moverHost: parts.moverHost,
    details: {
      ...machineDetails(machine, plan, coordinator),
      ...(chain === undefined ? {} : { chain }),
      ...(excluded.length === 0 ? {} : { excludedDisks: [...excluded] }),
    },
  };
}

/** A machine as a host names it. */
export function toResolvedSource(machine: VmRecord): ResolvedSource {
  return {
    path: machinePath(machine),
    kind: machineKind(machine),
    id: machine.uuid,
    displayName: machine.name_label,
  };
}
