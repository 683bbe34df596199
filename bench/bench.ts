import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GIB, MIB } from '../src/common/byte-size.js';
import { CleanupStack } from '../src/common/cleanup-stack.js';
import { runTimed, startSimulator, XEN_BACKUP, type Finished } from './programs.js';

/**
 * Measures us beside what a user would pick instead, in turn (A B A B), and reports medians as ratios.
 * `--json`: one array of { name, ours, peer, ratio, spread, target, pass }.
 */
const ROUNDS = 5;
const DISK_MIB = 1024;

interface Case {
  readonly name: string;
  readonly ours: string;
  readonly peer: string;
  /** The most that ours may take, as a multiple of the peer's wall clock. */
  readonly target: number;
}

interface Result {
  readonly name: string;
  readonly oursMs: number;
  readonly peerMs: number;
  readonly ratio: number;
  readonly oursCpuSecondsPerGib: number;
  readonly target: number;
  readonly pass: boolean;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function measure({ name, ours, peer, target }: Case, env: NodeJS.ProcessEnv): Promise<Result> {
  const rounds: { readonly ours: Finished; readonly peer: Finished }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    rounds.push({ ours: await runTimed(ours, env), peer: await runTimed(peer, env) });
  }
  const ratio = median(rounds.map((round) => round.ours.elapsedMs / round.peer.elapsedMs));
  return {
    name,
    oursMs: median(rounds.map((round) => round.ours.elapsedMs)),
    peerMs: median(rounds.map((round) => round.peer.elapsedMs)),
    ratio,
    oursCpuSecondsPerGib: (median(rounds.map((round) => round.ours.cpuSeconds)) * GIB) / (DISK_MIB * MIB),
    target,
    pass: ratio <= target,
  };
}

async function bench(cleanups: CleanupStack): Promise<readonly Result[]> {
  // Memory, so that no disk is measured.
  const folder = await mkdtemp('/dev/shm/xen-backup-bench-');
  cleanups.add('the bench folder', () => rm(folder, { recursive: true }));
  const poolFile = join(folder, 'pool.json');
  const disks = [{ name: 'disk', sizeMiB: DISK_MIB, content: { kind: 'random', seed: 1 } }];
  await writeFile(
    poolFile,
    JSON.stringify({
      name: 'Bench',
      hosts: [{ name: 'host' }],
      networks: [{ name: 'LAN', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
      storage: [{ name: 'NFS', type: 'nfs', isDefault: true, sizeGiB: 1000 }],
      vms: [{ name: 'bench', uuid: '6f3c1f1a-6d1c-4a52-9a2e-3c1f0d1b2a01', disks }],
    }),
  );
  const pool = await startSimulator(poolFile);
  cleanups.add('the simulated pool', () => pool.stop());

  const repository = join(folder, 'repository');
  const env = {
    ...process.env,
    XEN_BACKUP_URL: pool.url,
    XEN_BACKUP_FINGERPRINT: pool.fingerprint256,
    XEN_BACKUP_USERNAME: pool.username,
    XEN_BACKUP_PASSWORD: pool.password,
    XEN_BACKUP_REPOSITORY: repository,
  };
  const file = join(folder, 'peer.xva');
  const curl = `curl -sSk -u ${pool.username}:${pool.password} ${pool.url}/export?uuid=6f3c1f1a-6d1c-4a52-9a2e-3c1f0d1b2a01`;
  const backup = `node ${XEN_BACKUP} backup vm/bench && rm -rf ${repository}/savesets/*`;
  const cases: readonly Case[] = [
    {
      name: 'full backup, 1 GiB random, https, verified; against curl | tee | sha256sum',
      ours: backup,
      peer: `${curl} | tee ${file} | sha256sum && rm ${file}`,
      target: 1.15,
    },
  ];
  const results: Result[] = [];
  for (const entry of cases) results.push(await measure(entry, env));
  return results;
}

const cleanups = new CleanupStack();
try {
  const results = await bench(cleanups);
  if (process.argv.includes('--json')) {
    process.stdout.write(`${JSON.stringify(results)}\n`);
  } else {
    for (const { name, ratio, oursMs, peerMs, oursCpuSecondsPerGib, target, pass } of results) {
      const figures = `${oursMs.toFixed(0)} ms against ${peerMs.toFixed(0)} ms, ${oursCpuSecondsPerGib.toFixed(2)} CPU s/GiB`;
      process.stdout.write(
        `${pass ? 'ok  ' : 'MISS'} ${ratio.toFixed(2)} (target ${target})  ${name}\n     ${figures}\n`,
      );
    }
  }
  if (results.some(({ pass }) => !pass)) process.exitCode = 1;
} finally {
  await cleanups.run();
}
