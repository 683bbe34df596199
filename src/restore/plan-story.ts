import { type Machine } from '../browser/machine.js';
import { machinePath } from '../browser/source-name.js';
import { formatBytes } from '../common/byte-size.js';
import { type RestoreStep } from '../contract/index.js';
import { type VmRecord } from '../xapi/xapi-records.js';
import { type DiskPlaces } from './disk-places.js';
import { type ChosenNetwork } from './network-map.js';
import { isNewerRelease, type KnownRelease } from './release-order.js';
import { type RestoreWish } from './restore-options.js';
import { type RestoreTarget } from './restore-target.js';
import { sparedDisks } from './spared-disks.js';

export interface PlanWarning {
  readonly code: string;
  readonly message: string;
}

export interface WarningGrounds {
  readonly networks: ReadonlyMap<string, ChosenNetwork>;
  /** Other machines with a MAC address that is brought back. */
  readonly doubles: readonly VmRecord[];
  readonly existing: Machine | undefined;
  /** What the coordinator runs. */
  readonly release: KnownRelease;
}

/** What a person should know before the restore. */
export function planWarnings(wish: RestoreWish, target: RestoreTarget, grounds: WarningGrounds): PlanWarning[] {
  const { details } = wish;
  const missing = details.interfaces
    .filter(({ position }) => !grounds.networks.has(position))
    .map(({ position, networkName, networkId }) => ({
      code: 'NETWORK_MISSING',
      message:
        `The pool has no network "${networkName}" for interface ${position}; it will make one without a way out. ` +
        `Map it with network.${networkId}=<network>.`,
    }));
  const doubles = grounds.doubles.map((double) => ({
    code: 'DUPLICATE_MAC',
    message: `The machine ${machinePath(double)} ("${double.name_label}") has a MAC address of the backup.`,
  }));
  const bootless = wish.leftOut.filter(({ isBootable }) => isBootable && target.way !== 'beside');
  const noBoot = bootless.map(({ position, name }) => ({
    code: 'BOOT_DISK_LEFT_OUT',
    message: `The disk ${position} "${name}", which the machine boots from, does not come back: it will not start from its disks.`,
  }));
  return [
    ...tooNew(details.release, grounds.release),
    ...missing,
    ...doubles,
    ...noBoot,
    ...notSaved(wish, grounds.existing),
    ...(target.way === 'beside' ? lossesOf(wish, grounds.existing) : []),
  ];
}

function tooNew(saved: KnownRelease, pool: KnownRelease): PlanWarning[] {
  if (!isNewerRelease(saved, pool)) return [];
  const message =
    `The backup was made on ${saved.brand} ${saved.version}, this pool runs ${pool.brand} ${pool.version}: ` +
    'it will most likely refuse what a newer release has exported.';
  return [{ code: 'RELEASE_NEWER', message }];
}

/** Disks that the backup has nothing of. */
function notSaved(wish: RestoreWish, existing: Machine | undefined): PlanWarning[] {
  const spared = existing === undefined ? [] : sparedDisks(existing, wish);
  return (wish.details.excludedDisks ?? []).map(({ uuid, position, name, sizeBytes, by }) => {
    const isThere = spared.some(({ record, medium }) => medium.record.uuid === uuid || record.userdevice === position);
    const why = by === 'name' ? 'because of its name' : 'as its request said';
    return {
      code: 'DISK_NOT_SAVED',
      message:
        `The disk ${position} "${name}" (${formatBytes(sizeBytes)}) was left out of the backup, ${why}: ` +
        (isThere ? `"${wish.name}" keeps the one that it has now, as it is.` : 'it does not come back.'),
    };
  });
}

/** What the pool has no way to bring into a machine that exists. */
function lossesOf({ details, hasMemory, name }: RestoreWish, existing: Machine | undefined): PlanWarning[] {
  const losses: PlanWarning[] = [];
  if (hasMemory) {
    losses.push({
      code: 'MEMORY_NOT_RESTORED',
      message:
        `The memory in the backup cannot go into the machine "${name}" that exists; it comes back halted, with its ` +
        'disks. Restored as a new machine it comes back suspended, with its memory.',
    });
  }
  if ((details.configuration?.tpms ?? 0) > 0) {
    const has = (existing?.record.VTPMs.length ?? 0) > 0 ? 'keeps the TPM that it has now' : 'has no TPM';
    losses.push({
      code: 'TPM_NOT_RESTORED',
      message:
        `"${name}" ${has}: the pool does not let the TPM of the backup into a machine that exists. ` +
        'Restored as a new machine it has it.',
    });
  }
  return losses;
}

/** The restore in sentences, in the order in which it happens. */
export function planSteps(wish: RestoreWish, target: RestoreTarget, places: DiskPlaces): readonly RestoreStep[] {
  const step = (action: string, description: string, isDestructive = false): RestoreStep => ({
    action,
    description,
    isDestructive,
  });
  const { details, storedBytes, name, hasMemory } = wish;
  const where = `storage "${places.importTo.record.name_label}"`;
  const count = wish.disks.length;
  const moves = wish.disks.flatMap(({ position, name: disk, sizeBytes }) => {
    const to = places.byPosition.get(position);
    if (to === undefined || to.ref === places.importTo.ref) return [];
    const what = `disk ${position} "${disk}" (${formatBytes(sizeBytes)})`;
    return [step('place', `Copy ${what} on to storage "${to.record.name_label}" and remove the first copy.`)];
  });
  const savesets = (details.chain?.ancestors.length ?? 0) + 1;
  const merged = savesets === 1 ? '' : `, merged from ${savesets} savesets`;
  const what = `${count} ${count === 1 ? 'disk' : 'disks'}, ${savesets === 1 ? '' : 'up to '}${formatBytes(storedBytes)}${merged}`;
  const startVerb = hasMemory && target.way !== 'beside' ? 'Resume' : 'Start';
  const start = wish.startAfter ? [step('start', `${startVerb} "${name}" and check that it runs.`)] : [];
  if (target.existing === undefined) {
    const kind = details.machine.isTemplate ? 'template ' : '';
    const identity = target.way === 'revive' ? ', with the UUID that it had' : '';
    const memory = hasMemory ? ', suspended, with its memory' : '';
    return [
      step('import', `Import ${kind}"${name}" (${what}) to ${where}${identity}${memory}.`),
      step('verify', 'Compare it with the record.'),
      ...moves,
      ...start,
    ];
  }
  const { power_state: state } = target.existing.record;
  return [
    step('import', `Import the backup (${what}) beside "${name}" to ${where}.`),
    step('verify', 'Compare it with the record.'),
    ...moves,
    ...(state === 'Halted' ? [] : [step('stop', `Stop "${name}" (${wish.stop ?? ''}).`, true)]),
    step('swap', `Put the backup's disks in the place of the disks of "${name}".`, true),
    step('configure', `Bring configuration and network interfaces of "${name}" back to the backup's.`, true),
    step('release', `Remove the old disks of "${name}".`, true),
    ...start,
  ];
}
