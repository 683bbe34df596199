import { GIB, MIB } from '../../common/byte-size.js';
import { createVdi } from '../behaviour/disks.js';
import { updateSrSpace } from '../behaviour/sr-space.js';
import { createDiskContent } from '../content/content-spec.js';
import { type CompletePool, type StorageDefinition } from '../pool-definition.js';
import { type SimulatedPool } from '../simulated-pool.js';

const OPERATIONS = [
  'vdi_introduce',
  'vdi_enable_cbt',
  'vdi_list_changed_blocks',
  'unplug',
  'plug',
  'pbd_create',
  'vdi_disable_cbt',
  'update',
  'pbd_destroy',
  'vdi_resize',
  'vdi_clone',
  'vdi_data_destroy',
  'scan',
  'vdi_snapshot',
  'vdi_create',
  'vdi_destroy',
  'vdi_set_on_boot',
];
const IMAGE_OPERATIONS = ['vdi_introduce', 'unplug', 'plug', 'pbd_create', 'update', 'pbd_destroy', 'scan'];
const FEATURES = [
  'SR_PROBE',
  'SR_UPDATE',
  'VDI_CREATE',
  'VDI_DELETE',
  'VDI_ATTACH',
  'VDI_DETACH',
  'VDI_CLONE',
  'VDI_SNAPSHOT',
  'VDI_RESIZE',
  'VDI_RESET_ON_BOOT',
  'VDI_CONFIG_CBT',
];

/** Of drivers for images, and for devices of a host. */
const IMAGE_FEATURES = ['SR_PROBE', 'SR_UPDATE', 'VDI_INTRODUCE', 'VDI_ATTACH', 'VDI_DETACH'];

/** The storage of a pool, one SM entry a type, plugged on the hosts that see it, with its images. */
export function buildStorage(
  pool: SimulatedPool,
  definition: CompletePool,
  hosts: ReadonlyMap<string, string>,
): { readonly storage: ReadonlyMap<string, string>; readonly images: ReadonlyMap<string, string> } {
  const storage = new Map<string, string>();
  const images = new Map<string, string>();
  for (const type of new Set(definition.storage.map((sr) => sr.type))) buildDriver(pool, type);
  for (const sr of definition.storage) {
    const ref = buildSr(pool, sr, hosts);
    storage.set(sr.name, ref);
    for (const image of sr.images) {
      const virtualSize = image.sizeMiB * MIB;
      const content = createDiskContent(virtualSize, { kind: 'text', seed: image.name });
      const fields = { name_label: image.name, type: 'user', read_only: true };
      images.set(image.name, createVdi(pool, { SR: ref, virtual_size: virtualSize, fields }, content));
    }
  }
  return { storage, images };
}

function buildSr(pool: SimulatedPool, sr: StorageDefinition, hosts: ReadonlyMap<string, string>): string {
  const { store } = pool;
  const isImages = sr.type === 'iso';
  const ref = store.create('SR', {
    ...(sr.uuid === undefined ? {} : { uuid: sr.uuid }),
    name_label: sr.name,
    name_description: sr.description,
    type: sr.type,
    content_type: isImages ? 'iso' : 'user',
    shared: sr.host === undefined,
    physical_size: Math.round(sr.sizeGiB * GIB),
    other_config: sr.otherConfig,
    tags: sr.tags,
    allowed_operations: isImages ? IMAGE_OPERATIONS : OPERATIONS,
  });
  pool.storage.set(ref, {
    isStale: sr.isStale,
    foreignBytes: Math.round(sr.foreignGiB * GIB),
    hasChains: sr.hasChains,
  });
  updateSrSpace(pool, ref);
  for (const [name, host] of hosts) {
    if (sr.host !== undefined && sr.host !== name) continue;
    store.create('PBD', { host, SR: ref, device_config: deviceConfig(sr), currently_attached: true });
  }
  return ref;
}

function deviceConfig(sr: StorageDefinition): Readonly<Record<string, string>> {
  if (Object.keys(sr.deviceConfig).length > 0) return sr.deviceConfig;
  switch (sr.type) {
    case 'nfs':
      return { server: 'storage.example', serverpath: '/export/vms' };
    case 'iso':
      return { location: 'storage.example:/export/iso' };
    case 'lvm':
    case 'ext':
    case 'udev':
      return { device: '/dev/disk/by-id/simulated' };
    case 'lvmoiscsi':
    case 'lvmohba':
    case 'smb':
    case 'file':
      return { location: '/simulated' };
  }
}

function buildDriver(pool: SimulatedPool, type: string): void {
  const features = type === 'iso' || type === 'udev' ? IMAGE_FEATURES : FEATURES;
  pool.store.create('SM', {
    name_label: type,
    name_description: `simulated ${type} storage`,
    type,
    vendor: 'simulated',
    copyright: '-',
    version: '1.0',
    required_api_version: '1.0',
    capabilities: features,
    features: Object.fromEntries(features.map((feature) => [feature, feature === 'VDI_RESET_ON_BOOT' ? 2 : 1])),
    driver_filename: `/opt/xensource/sm/${type.toUpperCase()}SR`,
  });
}
