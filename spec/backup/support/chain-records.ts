import { type BackupLevel, type SavesetRecord } from '../../../src/contract/index.js';
import { type MachineChainDisk } from '../../../src/format/machine-details.js';

export const MACHINE = '00000000-0000-4000-8000-00000000000a';
export const POOL = '00000000-0000-4000-8000-00000000000b';
export const SUBJECT = { kind: 'vm', id: MACHINE, originId: POOL };

export interface ChainRecordFields {
  readonly level?: BackupLevel;
  readonly ancestors?: readonly string[];
  readonly supersedes?: readonly string[];
  readonly sizeBytes?: number;
  readonly disks?: readonly Partial<MachineChainDisk>[];
  readonly form?: 'xva' | 'disks';
  readonly source?: Partial<SavesetRecord['source']>;
  readonly providerId?: string;
}

/** The uuid of a disk, and of the base that a saveset left of it. */
export const diskId = (position: string): string => `disk-${position}`;
export const baseId = (saveset: string, position: string): string => `base-${saveset}-${position}`;

let minutes = 0;

/** A stored saveset of the machine, later than all made before it. */
export function chainRecord(savesetId: string, fields: ChainRecordFields = {}): SavesetRecord {
  const { ancestors = [], level = ancestors.length === 0 ? 'full' : 'incremental', form = 'disks' } = fields;
  minutes += 1;
  const createdAt = new Date(Date.UTC(2026, 0, 1, 0, minutes)).toISOString();
  const members = (fields.disks ?? [{}]).map((disk, index): MachineChainDisk => {
    const position = disk.position ?? String(index);
    return {
      position,
      uuid: diskId(position),
      item: `disk-${position}.vhd`,
      vhdId: `vhd-${savesetId}-${position}`,
      baseId: baseId(savesetId, position),
      baseKind: 'metadata',
      startedTracking: false,
      readBy: 'export',
      ...disk,
    };
  });
  const parentSavesetId = ancestors.at(-1);
  return {
    version: 1,
    savesetId,
    providerId: fields.providerId ?? 'xenserver',
    createdAt,
    completedAt: createdAt,
    source: {
      path: `vm/${MACHINE}`,
      kind: 'vm',
      id: MACHINE,
      displayName: 'web',
      originId: POOL,
      originName: 'pool',
      ...fields.source,
    },
    level,
    ...(parentSavesetId === undefined ? {} : { parentSavesetId }),
    consistency: 'crash',
    items: [],
    disks: members.map(({ uuid, position, item }) => ({
      id: uuid,
      name: `disk ${position}`,
      position,
      sizeBytes: fields.sizeBytes ?? 1024,
      level,
      reason: 'POLICY',
      item,
    })),
    warnings: [],
    moverHost: 'mover',
    details: {
      version: 1,
      machine: {
        uuid: MACHINE,
        name: 'web',
        description: '',
        powerState: 'Running',
        isTemplate: false,
        memoryBytes: 1,
        vcpus: 1,
        keptFields: {
          blocked_operations: {},
          ha_restart_priority: '',
          order: 0,
          start_delay: 0,
          shutdown_delay: 0,
        },
      },
      disks: [],
      interfaces: [],
      isOfSnapshot: true,
      ...(form === 'xva'
        ? {}
        : {
            chain: {
              ancestors: [...ancestors],
              supersedes: [...(fields.supersedes ?? [])],
              metadataItem: 'machine.xva',
              disks: members,
            },
          }),
      release: { brand: '', version: '', build: '' },
    },
  };
}
