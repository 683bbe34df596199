import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { COMMANDS } from '../../src/host/cli/command-table.js';
import { type RunningPool, startSimulatedPool } from '../../src/simulator/index.js';
import { runPoolCli } from './support/pool-cli.js';
import { SMALL_POOL } from './support/xen-world.js';

const PASSWORD = 'Gr4ve/Str0ng?Lantern';

describe('journey: nothing that leaves the process holds a secret', () => {
  let running: RunningPool;
  let folder: string;
  const logins: string[] = [];
  let onLogin: (reference: string) => void = () => undefined;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'xen-backup-'));
    running = await startSimulatedPool({ poolFile: SMALL_POOL, password: PASSWORD });
    const { sessions } = running.pool;
    const login = sessions.login.bind(sessions);
    sessions.login = (...args) => {
      const reference = login(...args);
      logins.push(reference);
      onLogin(reference);
      return reference;
    };
  });

  after(async () => {
    await running.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const xenBackup = async (args: readonly string[], password?: string): Promise<string> =>
    (await runPoolCli(running, folder, args, password)).text;

  /** What gives a secret away: as it is, in a query, in a Basic header, in JSON. */
  function secrets(): readonly string[] {
    const basic = Buffer.from(`${running.username}:${PASSWORD}`).toString('base64');
    const bare = logins.map((reference) => reference.replace('OpaqueRef:', ''));
    return [PASSWORD, encodeURIComponent(PASSWORD), JSON.stringify(PASSWORD).slice(1, -1), basic, ...bare];
  }

  function expectClean(text: string, where: string): void {
    const found = secrets().filter((secret) => text.includes(secret));
    expect(found, where).to.deep.equal([]);
  }

  it('in the output and log of a run of everything, at the most talkative level', async () => {
    const texts: Record<string, string> = {};
    const say = async (...args: string[]): Promise<void> => {
      texts[args.join(' ')] = await xenBackup([...args, '--debug']);
      texts[`${args.join(' ')} --json`] = await xenBackup([...args, '--debug', '--json']);
    };
    await say('check');
    await say('browse', '-r');
    await say('backup', 'vm/web', 'meta-data', 'host/*');
    await say('list');
    await say('show', 'latest:vm/web');
    await say('verify', '--all');
    await say('restore', 'latest:vm/web', '--as', 'copy');
    await say('restore', 'latest:vm/web', '--overwrite', '--dry-run');
    await say('reconcile');
    expect(logins.length).to.be.greaterThan(10);
    expect(Object.values(texts).join('').length).to.be.greaterThan(10_000);
    for (const [command, text] of Object.entries(texts)) expectClean(text, command);
  });

  it('in the errors of runs that go wrong', async () => {
    onLogin = (reference) => {
      running.addFault({
        match: { call: 'VM.snapshot' },
        action: { failWith: ['INTERNAL_ERROR', `session ${reference} of ${PASSWORD}`] },
      });
    };
    const failed = await xenBackup(['backup', 'vm/web', '--debug', '--json']);
    expect(failed).to.include('INTERNAL_ERROR');
    expectClean(failed, 'a call that fails and tells who asked');
    const wrong = 'An0ther+Secret';
    const refused = await xenBackup(['check', '--debug'], wrong);
    expect(refused).to.include('SOURCE_AUTH_REFUSED').and.not.include(wrong);
    expectClean(refused, 'a wrong password');
    await running.close();
    expectClean(await xenBackup(['check', '--debug']), 'a pool that is away');
  });

  it('in any file of the repository, which only its owner may read', () => {
    const files = readdirSync(join(folder, 'repo'), { recursive: true, encoding: 'utf8' });
    expect(files.length).to.be.greaterThan(5);
    for (const name of files) {
      const path = join(folder, 'repo', name);
      const isFile = statSync(path).isFile();
      expect((statSync(path).mode & 0o777).toString(8), name).to.equal(isFile ? '600' : '700');
      if (isFile) expectClean(readFileSync(path).toString('latin1'), name);
    }
  });

  it('in arguments, which everybody on the machine can see: no command takes one there', async () => {
    for (const { name } of COMMANDS) {
      const help = await xenBackup(['help', name]);
      expect(help, name).to.include('Usage:');
      expect(help.match(/--[a-z-]*(?:password|session|secret)[a-z-]*/g) ?? [], name).to.deep.equal([]);
    }
  });
});
