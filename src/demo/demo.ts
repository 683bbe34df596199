import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatBytes, MIB } from '../common/byte-size.js';
import { CleanupStack } from '../common/cleanup-stack.js';
import { packageRoot } from '../common/package-root.js';
import { PoolWitness, type WitnessedDisk } from './pool-witness.js';
import { type DemoSaveset, listSavesets, startPool, xenBackup } from './programs.js';

/**
 * `npm run demo`: the main job against a simulated pool in a process of its own, with the real command. What it claims
 * at the end is measured by a witness that shares no code with the plugin.
 */
const NAME = 'web-01';
const COPY = 'web-01 restored';
const GUEST_WRITES = 40;
const GUEST_WRITE_BYTES = 64 * 1024;

const proofs: { readonly claim: string; readonly holds: boolean }[] = [];
const say = (text = ''): void => {
  process.stdout.write(`${text}\n`);
};
const prove = (claim: string, holds: boolean): void => {
  proofs.push({ claim, holds });
};

async function compare(witness: PoolWitness, wanted: readonly WitnessedDisk[], machine: string): Promise<boolean> {
  const disks = await witness.disks(machine);
  if (disks.length !== wanted.length) return false;
  for (const [index, disk] of disks.entries()) {
    const other = wanted[index];
    if (other === undefined || !(await witness.isSame(other, disk))) return false;
  }
  return true;
}

async function countObjects(witness: PoolWitness): Promise<string> {
  const classes = ['VM', 'VBD', 'VIF', 'VDI', 'task'];
  const all = await Promise.all(classes.map((cls) => witness.call<string[]>(`${cls}.get_all`)));
  return classes.map((cls, index) => `${cls} ${all[index]?.length ?? 0}`).join(', ');
}

async function demo(cleanups: CleanupStack): Promise<void> {
  const startedMs = performance.now();
  const folder = await mkdtemp(join(tmpdir(), 'xen-backup-demo-'));
  cleanups.add('the demo folder', () => rm(folder, { recursive: true, force: true }));
  const pool = await startPool(join(packageRoot(), 'fixtures', 'pools', 'demo.json'));
  cleanups.add('the simulated pool', () => pool.stop());
  say(`A simulated pool of two hosts is running at ${pool.url}`);

  const environment = {
    ...process.env,
    XEN_BACKUP_URL: pool.url,
    XEN_BACKUP_FINGERPRINT: pool.hosts.map(({ fingerprint256 }) => fingerprint256).join(','),
    XEN_BACKUP_USERNAME: pool.username,
    XEN_BACKUP_PASSWORD: pool.password,
    XEN_BACKUP_REPOSITORY: join(folder, 'repository'),
  };
  const witness = new PoolWitness(pool.httpUrl, pool.username, pool.password);
  await witness.logIn();
  cleanups.add('the login of the witness', () => witness.logOut());

  const original = await witness.machine(NAME);
  const uuid = await witness.call<string>('VM.get_uuid', original);
  const macs = await witness.macs(original);
  const snapshots = await witness.call<string[]>('VM.get_snapshots', original);

  await xenBackup(['browse', '-r'], environment);
  const before = await countObjects(witness);
  await xenBackup(['backup', `vm/${NAME}`], environment);
  prove('after the backup the pool holds exactly the objects it held before', (await countObjects(witness)) === before);

  const reference = await witness.call<string>('VM.snapshot', original, 'what the demo compares with');
  const wanted = await witness.disks(reference);
  const diskBytes = wanted.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

  await xenBackup(['list'], environment);
  await xenBackup(['verify', `latest:vm/${uuid}`], environment);
  await xenBackup(['restore', `latest:vm/${uuid}`, '--as', COPY], environment);
  const copy = await witness.machine(COPY);
  prove(
    `the new VM's disks are the original's, byte for byte (${formatBytes(diskBytes)})`,
    await compare(witness, wanted, copy),
  );
  const copyMacs = await witness.macs(copy);
  prove(
    'the new VM has MAC addresses of its own',
    copyMacs.every((mac) => !macs.includes(mac)),
  );
  prove('the original still runs', (await witness.call('VM.get_power_state', original)) === 'Running');

  say(`\nNow somebody encrypts the first 4 MiB of every disk of ${NAME} and renames the VM ...`);
  await witness.call('VM.hard_shutdown', original);
  for (const { vdi, sizeBytes } of await witness.disks(original)) {
    await witness.overwriteStart(vdi, randomBytes(4 * MIB), sizeBytes);
  }
  await witness.call('VM.set_name_label', original, 'pay us');
  prove('the damage is real: the original differs from its backup', !(await compare(witness, wanted, original)));

  await xenBackup(['restore', `latest:vm/${uuid}`, '--overwrite', '--dry-run'], environment);
  await xenBackup(['restore', `latest:vm/${uuid}`, '--overwrite'], environment);
  prove("the original's disks are what they were, byte for byte", await compare(witness, wanted, original));
  prove('it kept reference and UUID', (await witness.call('VM.get_uuid', original)) === uuid);
  prove('it kept its MAC addresses', (await witness.macs(original)).join() === macs.join());
  const kept = await witness.call<string[]>('VM.get_snapshots', original);
  prove('it kept its snapshots', snapshots.length > 0 && snapshots.every((ref) => kept.includes(ref)));
  prove('it has its name again', (await witness.call('VM.get_name_label', original)) === NAME);
  await witness.call('VM.start', original, false, false);
  prove('it starts', (await witness.call('VM.get_power_state', original)) === 'Running');

  await nightly({ witness, environment, controlUrl: pool.controlUrl, original, diskBytes });

  say(`\nProven in ${((performance.now() - startedMs) / 1000).toFixed(1)} s:\n`);
  for (const { claim, holds } of proofs) say(`  ${holds ? '✔' : '✘ NOT TRUE:'} ${claim}`);
  say();
}

interface NightlyScene {
  readonly witness: PoolWitness;
  readonly environment: NodeJS.ProcessEnv;
  readonly controlUrl: string;
  readonly original: string;
  readonly diskBytes: number;
}

/** A chain: a full, writes inside the running guest, an increment; both moments come back. */
async function nightly({ witness, environment, controlUrl, original, diskBytes }: NightlyScene): Promise<void> {
  say(`\nFrom now on ${NAME} is saved every night, disk by disk, and only what its guest has written ...`);
  await xenBackup(['backup', `vm/${NAME}`, '--format', 'disks'], environment);
  const firstNight = await witness.disks(await witness.call('VM.snapshot', original, 'the first night'));

  const written = Array.from({ length: GUEST_WRITES }, (_, index) => 3 * MIB + index * 7 * MIB);
  for (const offset of written) await witness.writeInGuest(controlUrl, NAME, 0, offset, GUEST_WRITE_BYTES);
  await xenBackup(['backup', `vm/${NAME}`], environment);
  const secondNight = await witness.disks(await witness.call('VM.snapshot', original, 'the second night'));

  const [full, increment] = (await listSavesets(environment)).slice(-2);
  const bytesOf = (saveset: DemoSaveset | undefined): number =>
    saveset?.items.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0;
  const [moved, changed] = [bytesOf(increment), GUEST_WRITES * GUEST_WRITE_BYTES];
  prove(
    `${formatBytes(changed)} written in the guest: the next backup of its ${formatBytes(diskBytes)} moved ${formatBytes(moved)}`,
    increment?.level === 'incremental' && moved < 2 * changed,
  );
  await xenBackup(['restore', full?.savesetId ?? '', '--as', 'the first night'], environment);
  await xenBackup(['restore', increment?.savesetId ?? '', '--as', 'the second night'], environment);
  const [first, second] = [await witness.machine('the first night'), await witness.machine('the second night')];
  prove('the first night came back byte for byte', await compare(witness, firstNight, first));
  prove('the second night came back byte for byte', await compare(witness, secondNight, second));
  prove('the two nights differ', !(await compare(witness, firstNight, second)));
}

const cleanups = new CleanupStack();
try {
  await demo(cleanups);
} catch (error) {
  process.stderr.write(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  for (const { what, cause } of await cleanups.run()) {
    process.stderr.write(`Closing ${what} failed: ${String(cause)}\n`);
    process.exitCode = 1;
  }
}
if (proofs.some(({ holds }) => !holds)) process.exitCode = 1;
