import { BackupError, type SavesetDisk } from '../contract/index.js';
import { archiveDisks } from '../format/ova-xml.js';
import { XvaReader, type XvaSummary } from '../format/xva-reader.js';
import { type RefOf } from '../xapi/xapi-records.js';
import { type ItemOrder } from './item-exporter.js';

export interface MachineExport extends Pick<ItemOrder, 'name' | 'title' | 'forceHttps' | 'onVerify'> {
  readonly machine: RefOf<'VM'>;
  readonly expectedBytes: number;
  /** What the archive must hold. */
  readonly disks: readonly SavesetDisk[];
  /** A suspended machine's memory comes along; without this the pool leaves it out. */
  readonly withMemory: boolean;
}

/** A machine's archive as an item: one stream as the pool sends it, checked while it flows. */
export function machineArchiveOrder({ machine, expectedBytes, disks, withMemory, ...order }: MachineExport): ItemOrder {
  const reader = new XvaReader();
  return {
    ...order,
    kind: 'machine-archive',
    mediaType: 'application/x-xva',
    path: '/export',
    query: { ref: machine, ...(withMemory ? { preserve_power_state: 'true' } : {}) },
    expected: { expectedBytes, expectedIs: 'estimate' },
    tap: {
      push: (chunk) => {
        reader.push(chunk);
      },
      end: () => {
        assertHolds(reader.end(), { disks, withMemory });
      },
    },
  };
}

/** The archive must hold the disks that were planned: no fewer, no other sizes; and the memory when it was asked for. */
function assertHolds(
  { archive }: XvaSummary,
  { disks: planned, withMemory }: Pick<MachineExport, 'disks' | 'withMemory'>,
): void {
  const key = (position: string, sizeBytes: number): string => `${position}: ${sizeBytes} bytes`;
  const held = archiveDisks(archive);
  if (withMemory && !held.some(({ isMemoryImage }) => isMemoryImage)) {
    throw new BackupError('DATA_DAMAGED', 'The archive does not hold the memory of the machine.', {
      hint: 'This release does not send it along. Use another consistency.',
    });
  }
  const found = held
    .filter(({ isMemoryImage }) => !isMemoryImage)
    .map(({ userdevice, sizeBytes }) => key(userdevice, sizeBytes))
    .sort();
  const expected = planned.map(({ position, sizeBytes }) => key(position, sizeBytes)).sort();
  if (found.join() === expected.join()) return;
  throw new BackupError('DATA_DAMAGED', 'The archive does not hold the disks that the machine had.', {
    hint: 'The machine was changed while its backup began. Run the backup again.',
    isRetriable: true,
    context: { expected, found },
  });
}
