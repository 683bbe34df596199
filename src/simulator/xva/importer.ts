import { CleanupStack } from '../../common/cleanup-stack.js';
import { type DiskContent } from '../content/disk-content.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { SimulatedFailure, toSimulatedFailure } from '../simulated-failure.js';
import { flagOf, mapOf, numberOf, textOf } from '../wire/wire-value.js';
import { importError, openArchive, type OpenArchive } from './archive-reader.js';
import { receiveDisks, type ReceivedDisk } from './disk-receiver.js';
import {
  importGpuObject,
  importGuestMetrics,
  importHost,
  importNetwork,
  importVbd,
  importVif,
  importVtpm,
} from './import-devices.js';
import { assertNoForeignMacSeed, importVm, linkSnapshots } from './import-machine.js';
import {
  archived,
  type ImportActions,
  type ImportSettings,
  type ImportState,
  isDryRun,
  lookUp,
} from './import-state.js';
import { importSr, importVdi } from './import-storage.js';
import { type ArchiveObject, type OvaDocument, readOvaXml } from './ova-reader.js';
import { xapiVersionOf } from './ova-xml.js';
import { TAR_BLOCK_BYTES } from './tar-header.js';
import { without } from './without.js';

/** An archive on its way into a pool. */
export interface ImportJob {
  readonly pool: SimulatedPool;
  readonly settings: ImportSettings;
  readonly actions: ImportActions;
  readonly body: AsyncIterable<Buffer>;
  /** Awaited when a plain archive ends too soon: XAPI waits for as long as the connection lives. */
  readonly waitAtEnd: () => Promise<void>;
  /** The bytes of a disk that `actions.createVdi` made. */
  readonly contentOf: (vdi: string) => DiskContent;
  /** How much fits into the SR; a disk that outgrows it fails with VDI_IO_ERROR. */
  readonly roomBytes: number;
  /** Called after each chunk; may throw to stop. */
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

type Handler = (state: ImportState, object: ArchiveObject) => void;

/** Class by class, in the order in which later ones need earlier ones; classes that are not here are left out. */
const HANDLERS: readonly (readonly [cls: string, handle: Handler])[] = [
  ['host', importHost],
  ['SR', importSr],
  ['VDI', importVdi],
  ['VM_guest_metrics', importGuestMetrics],
  ['VM', importVm],
  ['network', importNetwork],
  ['GPU_group', importGpuObject],
  ['VBD', importVbd],
  ['VIF', importVif],
  ['VGPU_type', importGpuObject],
  ['VGPU', importGpuObject],
  ['VTPM', importVtpm],
];

/**
 * Takes a whole archive or one of metadata, and returns the references of the VMs. On an error everything that was made
 * goes again, unless forced. Throws what XAPI would tell (facts 5.5): its own codes, and IMPORT_ERROR for all else.
 */
export async function importArchive(job: ImportJob): Promise<readonly string[]> {
  try {
    const archive = await openArchive(job.body, job.waitAtEnd);
    const document = readOvaXml(archive.ovaXml, job.pool.datamodel);
    assertVersion(job.pool, document);
    const state: ImportState = {
      ...job,
      objects: document.objects,
      table: new Map(),
      vms: new Set(),
      cleanup: new CleanupStack(),
    };
    if (job.settings.kind.kind === 'metadata') await archive.members.bytes.skip(2 * TAR_BLOCK_BYTES);
    if (job.settings.restore) assertNoForeignMacSeed(state);
    try {
      createObjects(state);
      if (job.settings.kind.kind === 'full') await fillDisks(job, state, document, archive);
      return complete(state);
    } catch (error) {
      if (!job.settings.force) await state.cleanup.run();
      throw error;
    }
  } catch (error) {
    const failure = toSimulatedFailure(error);
    throw failure.code === 'INTERNAL_ERROR' ? importError(failure.params.join('; ')) : failure;
  }
}

function assertVersion(pool: SimulatedPool, document: OvaDocument): void {
  const [major, minor] = xapiVersionOf(pool.datamodel);
  if (document.xapiMajor > major || (document.xapiMajor === major && document.xapiMinor > minor)) {
    throw new SimulatedFailure('IMPORT_INCOMPATIBLE_VERSION');
  }
}

function createObjects(state: ImportState): void {
  for (const [cls, handle] of HANDLERS) {
    for (const object of state.objects) if (object.cls === cls) handle(state, object);
  }
  if (!isDryRun(state)) linkSnapshots(state);
}

async function fillDisks(
  job: ImportJob,
  state: ImportState,
  document: OvaDocument,
  archive: OpenArchive,
): Promise<void> {
  const { store, tasks } = job.pool;
  const { task, force } = job.settings;
  if (store.has('task', task)) {
    const config = mapOf(store.get('task', task), 'other_config');
    store.patch('task', task, { other_config: { ...config, object_creation: 'complete' } });
  }
  const disks = expectedDisks(job, state);
  const detach = job.actions.holdDisks(disks.map(({ id }) => lookUp(state, id)));
  try {
    await receiveDisks(archive.members, disks, {
      force,
      hasChecksums: document.exportVersion > 0,
      roomBytes: job.roomBytes,
      onProgress: job.onProgress,
    });
  } finally {
    detach();
  }
  tasks.throwIfCancelled(task);
}

/** The disks whose chunks must follow: those of disk drives that are not ISOs, and images of suspended memory. */
function expectedDisks(job: ImportJob, state: ImportState): readonly ReceivedDisk[] {
  const ofDrives = new Set(
    state.objects
      .filter(({ cls, record }) => cls === 'VBD' && textOf(record, 'type') !== 'CD')
      .map(({ record }) => archived(state, textOf(record, 'VDI')))
      .filter(({ record }) => textOf(archived(state, textOf(record, 'SR')).record, 'content_type') !== 'iso')
      .map(({ id }) => id),
  );
  return state.objects
    .filter(({ cls, id, record }) => cls === 'VDI' && (ofDrives.has(id) || textOf(record, 'type') === 'suspend'))
    .filter(({ id }) => state.table.has(id))
    .map(({ id, record }) => ({
      id,
      sizeBytes: numberOf(record, 'virtual_size'),
      content: job.contentOf(lookUp(state, id)),
    }));
}

/** Frees the VMs; snapshots are named only when there is nothing else. */
function complete(state: ImportState): readonly string[] {
  const { store } = state.pool;
  const vms = [...state.vms];
  for (const vm of vms) {
    const operations = without(mapOf(store.get('VM', vm), 'current_operations'), state.settings.task);
    store.patch('VM', vm, { current_operations: operations });
  }
  const machines = vms.filter((vm) => !flagOf(store.get('VM', vm), 'is_a_snapshot'));
  return machines.length > 0 ? machines : vms;
}
