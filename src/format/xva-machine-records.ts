import { FormatError } from './format-error.js';
import { archiveDisks, type ArchiveDisk, textField, type XvaArchive, type XvaObject } from './ova-xml.js';
import { XmlRpcScalar, type XmlRpcValue } from './xml-rpc-value.js';

const NULL_REF = 'OpaqueRef:NULL';
const NEVER = '19700101T00:00:00Z';
/** Texts of people, which could look like an id. */
const FREE_TEXT = new Set(['name_label', 'name_description', 'uuid']);

/**
 * Makes the records of a metadata export (facts 4.3) those of a full archive of one machine with the given disks: other
 * machines and snapshots go with all that is only theirs, a snapshot becomes a machine, disks that have no data go with
 * their drives, and it is off unless the image of its memory is among the disks. Ids stay. Changes the archive in place.
 * @param positions `userdevice` of the disks that have data; the empty text for the image of the memory.
 * @returns the disks in the order of the archive's data.
 * @throws {FormatError} when it has no machine, or not all of these disks.
 */
export function keepOneMachine(archive: XvaArchive, positions: ReadonlySet<string>): readonly ArchiveDisk[] {
  const machine = mainMachine(archive);
  const kept = keptIds(archive, machine, positions);
  const dropped = new Set(archive.objects.filter(({ id }) => !kept.has(id)).map(({ id }) => id));
  archive.objects.splice(0, Infinity, ...archive.objects.filter(({ id }) => kept.has(id)));
  for (const { snapshot } of archive.objects) {
    for (const [field, value] of Object.entries(snapshot)) {
      if (!FREE_TEXT.has(field)) snapshot[field] = withoutDropped(value, dropped);
    }
  }
  standAlone(machine, positions.has(''));
  const disks = archiveDisks(archive);
  for (const { id, snapshot } of archive.objects) {
    if (!disks.some((disk) => disk.id === id)) continue;
    snapshot.is_a_snapshot = false;
    snapshot.snapshot_of = NULL_REF;
  }
  const missing = [...positions].filter((position) => !disks.some(({ userdevice }) => userdevice === position));
  if (missing.length > 0) throw new FormatError('The metadata lacks disks', { expected: missing.join(', ') });
  return disks;
}

/** The machine that is no snapshot; among snapshots only, the newest: that is the one whose disks were read. */
function mainMachine(archive: XvaArchive): XvaObject {
  const machines = archive.objects.filter((object) => object.class === 'VM');
  const own = machines.filter(({ snapshot }) => snapshot.is_a_snapshot !== true);
  const [only, ...others] = own;
  if (only !== undefined && others.length === 0) return only;
  const candidates = own.length === 0 ? machines : [];
  const [newest] = [...candidates].sort((left, right) => (snapshotTime(left) < snapshotTime(right) ? 1 : -1));
  if (newest === undefined) throw new FormatError('The metadata is not of one machine', { found: String(own.length) });
  return newest;
}

function snapshotTime({ snapshot }: XvaObject): string {
  const time = snapshot.snapshot_time;
  return time instanceof XmlRpcScalar ? time.text : typeof time === 'string' ? time : '';
}

function keptIds(archive: XvaArchive, machine: XvaObject, positions: ReadonlySet<string>): ReadonlySet<string> {
  const kept = new Set([machine.id]);
  const keep = (className: string, isKept: (object: XvaObject) => boolean): XvaObject[] => {
    const found = archive.objects.filter((object) => object.class === className && isKept(object));
    for (const { id } of found) kept.add(id);
    return found;
  };
  const isMachines = ({ snapshot }: XvaObject): boolean => textField(snapshot, 'VM') === machine.id;
  const named = (objects: readonly XvaObject[], field: string): ReadonlySet<string> =>
    new Set(objects.map(({ snapshot }) => textField(snapshot, field)));
  const drives = keep('VBD', (object) => isMachines(object) && isDriveKept(object, positions));
  const images = new Set(named(drives, 'VDI'));
  if (positions.has('')) images.add(textField(machine.snapshot, 'suspend_VDI'));
  const disks = keep('VDI', ({ id }) => images.has(id));
  const storages = named(disks, 'SR');
  keep('SR', ({ id }) => storages.has(id));
  const interfaces = keep('VIF', isMachines);
  const networks = named(interfaces, 'network');
  keep('network', ({ id }) => networks.has(id));
  const interfaceIds = new Set(interfaces.map(({ id }) => id));
  const sites = named(
    keep('PVS_proxy', ({ snapshot }) => interfaceIds.has(textField(snapshot, 'VIF'))),
    'site',
  );
  keep('PVS_site', ({ id }) => sites.has(id));
  const displays = keep('VGPU', isMachines);
  const displayTypes = named(displays, 'type');
  const displayGroups = named(displays, 'GPU_group');
  keep('VGPU_type', ({ id }) => displayTypes.has(id));
  keep('GPU_group', ({ id }) => displayGroups.has(id));
  keep('VTPM', ({ snapshot }) => [textField(snapshot, 'VM'), textField(snapshot, "vTPM'_VM")].includes(machine.id));
  keep('VM_metrics', ({ id }) => id === textField(machine.snapshot, 'metrics'));
  keep('VM_guest_metrics', ({ id }) => id === textField(machine.snapshot, 'guest_metrics'));
  keep('host', () => true);
  return kept;
}

function isDriveKept({ snapshot }: XvaObject, positions: ReadonlySet<string>): boolean {
  return textField(snapshot, 'type') === 'CD' || positions.has(textField(snapshot, 'userdevice'));
}

function withoutDropped(value: XmlRpcValue, dropped: ReadonlySet<string>): XmlRpcValue {
  if (typeof value === 'string') return dropped.has(value) ? NULL_REF : value;
  if (!Array.isArray(value)) return value;
  return value.filter((entry) => typeof entry !== 'string' || !dropped.has(entry));
}

/** The fields that a full export blanks (facts 4.2, 5.2). */
function standAlone({ snapshot }: XvaObject, hasMemory: boolean): void {
  snapshot.is_a_snapshot = false;
  snapshot.snapshot_of = NULL_REF;
  snapshot.snapshots = [];
  snapshot.snapshot_time = new XmlRpcScalar('dateTime.iso8601', NEVER);
  snapshot.transportable_snapshot_id = '';
  snapshot.parent = NULL_REF;
  if (hasMemory) return;
  snapshot.power_state = 'Halted';
  snapshot.suspend_VDI = NULL_REF;
}
