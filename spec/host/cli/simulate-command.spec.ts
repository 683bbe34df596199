import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { CliHarness, type Outcome } from '../support/cli-harness.js';
import { useTemporaryFolder } from '../support/temporary-folder.js';

/** Tells the whole state of a pool, and stops it. */
async function askAndStop(controlUrl: string, tell: (state: Record<string, unknown>) => void): Promise<void> {
  const state = await fetch(`${controlUrl}/state`, { method: 'POST', body: '{}' });
  tell((await state.json()) as Record<string, unknown>);
  await fetch(`${controlUrl}/stop`, { method: 'POST' });
}

describe('xen-backup simulate', () => {
  const folder = useTemporaryFolder();

  /** Runs until it has said `words`, then presses Ctrl-C. */
  async function runUntil(words: string, args: readonly string[]): Promise<Outcome> {
    return new CliHarness(folder()).run(['simulate', ...args], {
      onStart: (signals, out) => {
        const write = out._write.bind(out);
        let isDone = false;
        out._write = (chunk, encoding, done) => {
          write(chunk, encoding, done);
          if (isDone || !out.text.includes(words)) return;
          isDone = true;
          setImmediate(() => signals.emit('SIGINT'));
        };
      },
    });
  }

  it('says all that a client needs in its first JSON line, and stops at Ctrl-C', async () => {
    const { code, out } = await runUntil('}\n', ['--json']);
    expect(code).to.equal(0);
    const [facts] = out.events as [{ hosts: { fingerprint256: string }[]; url: string }];
    expect(facts).to.include({ type: 'simulated-pool', username: 'root' });
    expect(facts.url).to.match(/^https:\/\/127\.\d+\.\d+\.\d+:\d+$/);
    expect(facts.hosts[0]!.fingerprint256).to.match(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  });

  it('prints commands to try it with', async () => {
    const { out } = await runUntil('restore latest:', []);
    expect(out.text)
      .to.match(/export XEN_BACKUP_URL=https:\/\/127\./)
      .and.contain('xen-backup browse -r');
  });

  it("takes a pool of one's own, and quotes what the shell would take apart", async () => {
    const pool = {
      name: 'mine',
      hosts: [{ name: 'only' }],
      storage: [{ name: 'disk', type: 'lvm', isDefault: true }],
      vms: [{ name: "bob's vm" }],
    };
    writeFileSync(join(folder(), 'pool.json'), JSON.stringify(pool));
    const { code, out, err } = await runUntil('restore latest:', ['--pool', 'pool.json']);
    expect(err.text).to.not.contain('error');
    expect(code).to.equal(0);
    expect(out.text).to.contain("xen-backup backup 'bob'\\''s vm'");
  });

  it('plays the release and the faults that it is given, and ends when it is told so over its control port', async () => {
    const faults = [{ match: { call: 'VM.get_all' }, action: { failWith: ['SESSION_INVALID', 'gone'] } }];
    writeFileSync(join(folder(), 'faults.json'), JSON.stringify(faults));
    const said: Record<string, unknown>[] = [];
    const args = ['simulate', '--json', '--release', '8.0', '--seed', '5', '--faults', 'faults.json', '--nbd'];
    const { code } = await new CliHarness(folder()).run([...args, '--clock', '2026-01-31T22:00:00Z'], {
      onStart: (_signals, out) => {
        const write = out._write.bind(out);
        out._write = (chunk, encoding, done) => {
          write(chunk, encoding, done);
          const [facts] = out.events as [{ controlUrl: string } | undefined];
          if (facts === undefined || said.length > 0) return;
          said.push({});
          void askAndStop(facts.controlUrl, (state) => said.push(state));
        };
      },
    });
    expect(code).to.equal(0);
    expect(said[1]).to.deep.include({ release: '8.0', time: '20260131T22:00:00Z' });
    expect(said[1]?.faults).to.deep.equal([{ id: 1, fault: faults[0], seen: 0, hits: 0 }]);
    const { network } = said[1]?.records as { network: Record<string, { purpose: string[] }> };
    expect(Object.values(network).flatMap(({ purpose }) => purpose)).to.deep.equal(['nbd']);
  });

  it('says what is wrong with a release, a time and a file of faults', async () => {
    writeFileSync(join(folder(), 'bad.json'), '[{ "match": { "call": "VM.start" }, "action": { "explode": true } }]');
    const hints: unknown[] = [];
    for (const args of [
      ['--release', '6.5'],
      ['--clock', 'noon'],
      ['--faults', 'bad.json'],
      ['--faults', 'none.json'],
    ]) {
      const { code, err } = await new CliHarness(folder()).run(['simulate', ...args]);
      hints.push([code, err.text]);
    }
    expect(hints).to.have.lengthOf(4);
    expect(hints[0]).to.satisfy(([code, text]: [number, string]) => code === 2 && text.includes('--release'));
    expect(hints[1]).to.satisfy(
      ([code, text]: [number, string]) => code === 2 && text.includes('2026-01-31T22:00:00Z'),
    );
    expect(hints[2]).to.satisfy(([code, text]: [number, string]) => code === 2 && text.includes('must be one of'));
    expect(hints[3]).to.satisfy(([code, text]: [number, string]) => code === 2 && text.includes('--faults'));
  });

  it('refuses a pool file that is not there, and a port that is taken', async () => {
    const cli = new CliHarness(folder());
    const missing = await cli.run(['simulate', '--pool', 'missing.json']);
    expect([missing.code, missing.err.lines[1]]).to.deep.equal([2, 'hint: Correct the file given with --pool.']);
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    for (const option of ['--port', '--control-port', '--http-port', '--nbd-port']) {
      const refused = await cli.run(['simulate', option, String(port)]);
      const hint = `hint: Choose another ${option}, or leave it out.`;
      expect([refused.code, refused.err.lines[1]], option).to.deep.equal([2, hint]);
    }
    taken.close();
  });
});
