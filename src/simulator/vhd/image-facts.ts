import { type SimulatedPool } from '../simulated-pool.js';
import { EPOCH, mapOf, textOf, type XapiRecord } from '../wire/wire-value.js';
import { type VhdParent } from './vhd-fields.js';

const BLOCK_TYPES = new Set(['lvm', 'lvmoiscsi', 'lvmohba', 'lvmofcoe']);
const FILE_TYPES = new Set(['ext', 'nfs', 'smb', 'file']);
const SECONDS_TO_2000 = 946_684_800;

/** The disk is kept as a VHD: its storage keeps disks so, and it was not asked to be raw. */
export function isVhdBacked(pool: SimulatedPool, vdi: XapiRecord): boolean {
  const type = textOf(pool.store.get('SR', textOf(vdi, 'SR')), 'type');
  return (BLOCK_TYPES.has(type) || FILE_TYPES.has(type)) && mapOf(vdi, 'sm_config').type !== 'raw';
}

/** What a differencing image says of the image of that disk. */
export function imageOf(pool: SimulatedPool, vdi: XapiRecord): VhdParent {
  const uuid = textOf(vdi, 'uuid');
  const sr = pool.store.get('SR', textOf(vdi, 'SR'));
  const path = BLOCK_TYPES.has(textOf(sr, 'type'))
    ? `/dev/VG_XenStorage-${textOf(sr, 'uuid')}/VHD-${uuid}`
    : `/var/run/sr-mount/${textOf(sr, 'uuid')}/${uuid}.vhd`;
  return { uuid, path, timeStamp: secondsSince2000(textOf(vdi, 'snapshot_time')) };
}

/** A date of the wire; 0 for one that never was. */
function secondsSince2000(date: string): number {
  if (date === EPOCH || date === '') return 0;
  const iso = date.replace(/^(\d{4})-?(\d\d)-?(\d\d)/, '$1-$2-$3');
  const seconds = Math.floor(Date.parse(iso) / 1000) - SECONDS_TO_2000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : 0;
}
