import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { CliHarness, type Outcome } from '../support/cli-harness.js';
import { useTemporaryFolder } from '../support/temporary-folder.js';

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

  it('refuses a pool file that is not there, and a port that is taken', async () => {
    const cli = new CliHarness(folder());
    const missing = await cli.run(['simulate', '--pool', 'missing.json']);
    expect([missing.code, missing.err.lines[1]]).to.deep.equal([2, 'hint: Correct the file given with --pool.']);
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    const refused = await cli.run(['simulate', '--port', String(port)]);
    taken.close();
    expect([refused.code, refused.err.lines[1]]).to.deep.equal([2, 'hint: Choose another --port, or leave it out.']);
  });
});
