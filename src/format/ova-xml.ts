import { FormatError } from './format-error.js';
import {
  emptyStruct,
  isStruct,
  parseXmlRpcValue,
  serialiseXmlRpcValue,
  type XmlRpcStruct,
  type XmlRpcValue,
} from './xml-rpc-value.js';

/** One record of the archive. Fields may be changed in place before the archive is written again. */
export interface XvaObject {
  /** XAPI's class: `VM`, `VBD`, `VDI`, `VIF`, `network`, `SR`, ... */
  readonly class: string;
  /** Opaque, unique in the archive (`Ref:18`); other records point at it. An id that no object has means null. */
  readonly id: string;
  readonly snapshot: XmlRpcStruct;
}

/** What `ova.xml` says: who wrote the archive, and the records of the machine and all around it. */
export interface XvaArchive {
  readonly version: XmlRpcStruct;
  readonly objects: XvaObject[];
}

/** A disk whose data the archive must carry. */
export interface ArchiveDisk {
  /** The folder of its blocks in the archive. */
  readonly id: string;
  readonly uuid: string;
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
  /** Place in the machine as the guest counts (`0`, `1`, ...); empty for a memory image. */
  readonly userdevice: string;
  readonly isBootable: boolean;
  readonly isReadOnly: boolean;
  /** True for the memory image of a suspended machine. */
  readonly isMemoryImage: boolean;
  readonly storageUuid: string;
  readonly storageName: string;
}

/** A network interface of the machine. */
export interface ArchiveInterface {
  readonly id: string;
  readonly uuid: string;
  readonly device: string;
  readonly mac: string;
  readonly mtu: string;
  /** Id of its network in the archive; undefined when the archive does not have it. */
  readonly networkId: string | undefined;
  readonly networkName: string;
}

export interface ArchiveNetwork {
  readonly id: string;
  readonly uuid: string;
  readonly name: string;
  readonly bridge: string;
}

/**
 * Reads `ova.xml`.
 * @param maxBytes larger input is refused before it is looked at. Default 16 MiB.
 * @throws {FormatError} when it is not the metadata of an archive.
 */
export function parseOvaXml(bytes: Uint8Array, maxBytes?: number): XvaArchive {
  const value = parseXmlRpcValue(decodeUtf8(bytes), maxBytes);
  const { version, objects } = isStruct(value) ? value : emptyStruct();
  if (!isStruct(version) || !Array.isArray(objects)) throw new FormatError('ova.xml has no version or no objects');
  const seen = new Set<string>();
  return {
    version,
    objects: objects.map((entry) => {
      const object = readObject(entry);
      if (seen.has(object.id)) throw new FormatError('ova.xml has two objects with the same id', { found: object.id });
      seen.add(object.id);
      return object;
    }),
  };
}

/** Writes `ova.xml` as XAPI writes it. */
export function serialiseOvaXml(archive: XvaArchive): Buffer {
  const objects = archive.objects.map(({ class: className, id, snapshot }) => ({ class: className, id, snapshot }));
  return Buffer.from(serialiseXmlRpcValue({ version: archive.version, objects }), 'utf8');
}

/**
 * The record of the machine itself, which is not one of its snapshots.
 * @throws {FormatError} when there is none or more than one.
 */
export function archiveMachine(archive: XvaArchive): XvaObject {
  const [machine, ...others] = archiveMachines(archive);
  if (machine === undefined || others.length > 0) {
    throw new FormatError('The archive is not of one machine', {
      expected: '1',
      found: String(machine ? others.length + 1 : 0),
    });
  }
  return machine;
}

/** Every machine that is not a snapshot: `/export_metadata?all=true` has many. */
export function archiveMachines(archive: XvaArchive): XvaObject[] {
  return objectsOf(archive, 'VM').filter((machine) => machine.snapshot.is_a_snapshot !== true);
}

/**
 * The disks whose data a full archive carries, in the order in which it carries them: everything attached to a machine
 * by a VBD that is no CD drive, not on an ISO library, and the memory image of a suspended machine.
 * @throws {FormatError} when a disk has no usable size.
 */
export function archiveDisks(archive: XvaArchive): ArchiveDisk[] {
  const byId = objectsById(archive);
  const disks = new Map<string, ArchiveDisk>();
  const add = (id: string, attachment: XmlRpcStruct | undefined): void => {
    const image = byId.get(id);
    if (image?.class !== 'VDI' || disks.has(id)) return;
    const storage = byId.get(textField(image.snapshot, 'SR'))?.snapshot;
    if (storage !== undefined && textField(storage, 'content_type') === 'iso') return;
    disks.set(id, toDisk(image, attachment, storage));
  };
  for (const machine of archiveMachines(archive)) {
    for (const { snapshot } of objectsOf(archive, 'VBD')) {
      const isDisk = textField(snapshot, 'VM') === machine.id && textField(snapshot, 'type') !== 'CD';
      if (isDisk) add(textField(snapshot, 'VDI'), snapshot);
    }
    if (textField(machine.snapshot, 'power_state') === 'Suspended')
      add(textField(machine.snapshot, 'suspend_VDI'), undefined);
  }
  return [...disks.values()].sort((left, right) => (left.id < right.id ? -1 : 1));
}

/** The network interfaces of the machines that are not snapshots, by device number. */
export function archiveInterfaces(archive: XvaArchive): ArchiveInterface[] {
  const byId = objectsById(archive);
  const machines = new Set(archiveMachines(archive).map((machine) => machine.id));
  return objectsOf(archive, 'VIF')
    .filter(({ snapshot }) => machines.has(textField(snapshot, 'VM')))
    .map(({ id, snapshot }) => {
      const network = byId.get(textField(snapshot, 'network'));
      return {
        id,
        uuid: textField(snapshot, 'uuid'),
        device: textField(snapshot, 'device'),
        mac: textField(snapshot, 'MAC'),
        mtu: textField(snapshot, 'MTU'),
        networkId: network?.id,
        networkName: network === undefined ? '' : textField(network.snapshot, 'name_label'),
      };
    })
    .sort((left, right) => Number(left.device) - Number(right.device));
}

export function archiveNetworks(archive: XvaArchive): ArchiveNetwork[] {
  return objectsOf(archive, 'network').map(({ id, snapshot }) => ({
    id,
    uuid: textField(snapshot, 'uuid'),
    name: textField(snapshot, 'name_label'),
    bridge: textField(snapshot, 'bridge'),
  }));
}

/** A text field of a record; the empty text when it is absent or of another type. */
export function textField(record: XmlRpcStruct, name: string): string {
  const value = record[name];
  return typeof value === 'string' ? value : '';
}

function objectsOf(archive: XvaArchive, className: string): XvaObject[] {
  return archive.objects.filter((object) => object.class === className);
}

function objectsById(archive: XvaArchive): ReadonlyMap<string, XvaObject> {
  return new Map(archive.objects.map((object) => [object.id, object]));
}

function toDisk(
  image: XvaObject,
  attachment: XmlRpcStruct | undefined,
  storage: XmlRpcStruct | undefined,
): ArchiveDisk {
  const { id, snapshot } = image;
  const size = textField(snapshot, 'virtual_size');
  const sizeBytes = Number(size);
  if (!/^\d+$/.test(size) || !Number.isSafeInteger(sizeBytes)) {
    throw new FormatError('A disk in ova.xml has no usable size', { found: `${id}: ${size}` });
  }
  return {
    id,
    uuid: textField(snapshot, 'uuid'),
    name: textField(snapshot, 'name_label'),
    description: textField(snapshot, 'name_description'),
    sizeBytes,
    userdevice: attachment === undefined ? '' : textField(attachment, 'userdevice'),
    isBootable: attachment?.bootable === true,
    isReadOnly: attachment !== undefined && textField(attachment, 'mode') === 'RO',
    isMemoryImage: attachment === undefined,
    storageUuid: storage === undefined ? '' : textField(storage, 'uuid'),
    storageName: storage === undefined ? '' : textField(storage, 'name_label'),
  };
}

function readObject(entry: XmlRpcValue): XvaObject {
  const { class: className, id, snapshot } = isStruct(entry) ? entry : emptyStruct();
  if (typeof className !== 'string' || typeof id !== 'string' || id === '' || !isStruct(snapshot)) {
    throw new FormatError('ova.xml has an object without class, id or record');
  }
  return { class: className, id, snapshot };
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError('ova.xml is not UTF-8', { cause });
  }
}
