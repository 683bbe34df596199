import { archiveDisks, archiveMachine, textField, type XvaArchive, type XvaObject } from '../format/ova-xml.js';
import { type MachineDetails } from '../format/machine-details.js';
import { isStruct, type XmlRpcStruct } from '../format/xml-rpc-value.js';
import { RUN_MARK_KEY } from '../session/run-marks.js';
import { JOURNAL_DONE_KEY, JOURNAL_KEY } from './machine-state.js';
import { AUTOSTART_KEY } from './plan-changes.js';
import { type DroppedSettings } from './restore-options.js';

export interface ArchiveEdit {
  /** Name of the machine that the import makes. */
  readonly name: string;
  /** The run's mark, for machine and disks. */
  readonly mark: string;
  readonly details: MachineDetails;
  readonly drops: DroppedSettings;
  /** Names of the networks that those of the archive stand for in this pool, by the archive's UUID. */
  readonly networkNames: ReadonlyMap<string, string>;
  /** Places of disks that do not come back. */
  readonly leftOut: ReadonlySet<string>;
  /** UUID that the machine gets back; only meaningful for an import that keeps identities. */
  readonly machineUuid?: string;
}

/**
 * Makes `ova.xml` say what this restore wants: name, kind, our marks on machine and disks, and the fields that the
 * snapshot of a running machine has lost. Blocked operations are left out: they would keep us from removing the
 * machine when something fails; whoever imports sets them at the end. Changes the archive in place.
 * @throws {FormatError} when the archive is not of one machine.
 */
export function editArchive(archive: XvaArchive, edit: ArchiveEdit): void {
  const { snapshot: machine } = archiveMachine(archive);
  const { keptFields, isTemplate, description } = edit.details.machine;
  machine.name_label = edit.name;
  machine.name_description = description;
  machine.is_a_template = isTemplate;
  machine.is_a_snapshot = false;
  machine.blocked_operations = {};
  machine.ha_restart_priority = edit.drops.highAvailability ? '' : keptFields.ha_restart_priority;
  machine.order = String(keptFields.order);
  machine.start_delay = String(keptFields.start_delay);
  machine.shutdown_delay = String(keptFields.shutdown_delay);
  if (edit.drops.tags) machine.tags = [];
  if (edit.drops.highAvailability) machine.ha_always_run = false;
  if (edit.machineUuid !== undefined) machine.uuid = edit.machineUuid;
  dropDisks(archive, edit.leftOut);
  setMark(machine, edit.mark, edit.drops.autostart ? [AUTOSTART_KEY] : []);
  const disks = new Set(archiveDisks(archive).map(({ id }) => id));
  for (const object of archive.objects) {
    if (object.class === 'VDI' && disks.has(object.id)) setMark(object.snapshot, edit.mark);
    if (object.class === 'network') renameNetwork(object, edit.networkNames);
  }
}

/** Takes disks in these places out: the records of image and attachment. Their data then has no place to go. */
function dropDisks(archive: XvaArchive, positions: ReadonlySet<string>): void {
  if (positions.size === 0) return;
  const images = new Set(
    archiveDisks(archive)
      .filter(({ userdevice, isMemoryImage }) => !isMemoryImage && positions.has(userdevice))
      .map(({ id }) => id),
  );
  const isGone = ({ class: className, id, snapshot }: XvaObject): boolean =>
    className === 'VDI' ? images.has(id) : className === 'VBD' && images.has(textField(snapshot, 'VDI'));
  const gone = new Set(archive.objects.filter(isGone).map(({ id }) => id));
  archive.objects.splice(0, archive.objects.length, ...archive.objects.filter(({ id }) => !gone.has(id)));
  for (const { class: className, snapshot } of archive.objects) {
    const list = className === 'VM' ? 'VBDs' : className === 'SR' ? 'VDIs' : undefined;
    const refs = list === undefined ? undefined : snapshot[list];
    if (list !== undefined && Array.isArray(refs)) {
      snapshot[list] = refs.filter((id) => typeof id !== 'string' || !gone.has(id));
    }
  }
}

function setMark(record: XmlRpcStruct, mark: string, dropped: readonly string[] = []): void {
  const current = record.other_config;
  const without = [JOURNAL_KEY, JOURNAL_DONE_KEY, 'import_task', ...dropped];
  const kept = Object.entries(isStruct(current) ? current : {}).filter(([key]) => !without.includes(key));
  record.other_config = Object.fromEntries([...kept, [RUN_MARK_KEY, mark]]);
}

/** An import finds networks by name (facts 5.5); one that was renamed since or is mapped goes by its name of today. */
function renameNetwork({ snapshot }: XvaObject, names: ReadonlyMap<string, string>): void {
  const name = names.get(textField(snapshot, 'uuid'));
  if (name !== undefined) snapshot.name_label = name;
}
