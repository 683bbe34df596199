import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { commandFile } from '../../src/common/package-root.js';
import { named, RpcClient } from './support/rpc-client.js';

const PROGRAM = commandFile();
const CLASSES = ['pool', 'host', 'SR', 'PBD', 'VM', 'VM_metrics', 'VBD', 'VDI', 'VIF', 'network', 'PIF', 'task'];

interface Facts {
  readonly httpUrl: string;
  readonly controlUrl: string;
}

async function factsOf(child: ChildProcess): Promise<Facts> {
  let text = '';
  for await (const piece of child.stdout as AsyncIterable<Buffer>) {
    text += piece.toString();
    if (text.includes('\n')) break;
  }
  return JSON.parse(text) as Facts;
}

/** All that a client can see of a pool of its own: what it finds, what it makes and what it fetches. */
async function story(seed: string): Promise<Readonly<Record<string, string>>> {
  const args = ['simulate', '--json', '--seed', seed, '--clock', '2026-01-31T22:00:00Z'];
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const { httpUrl, controlUrl } = await factsOf(child);
    const client = await new RpcClient(httpUrl).login({ username: 'root', password: 'simulated' });
    const vm = await named(client, 'VM', 'web-01');
    const seen: Record<string, string> = { session: client.session };
    const task = await client.call<string>('Async.VM.snapshot', vm, 'taken now');
    const end = await client.taskEnd(task);
    seen.snapshot = String(end.result);
    for (const cls of CLASSES) seen[cls] = JSON.stringify(await client.call(`${cls}.get_all_records`));
    const [snapshot = ''] = /OpaqueRef:[-\w]+/.exec(seen.snapshot) ?? [];
    const address = `${httpUrl}/export?ref=${snapshot}&session_id=${client.session}`;
    const archive = Buffer.from(await (await fetch(address)).arrayBuffer());
    seen.export = `${archive.length} ${createHash('sha256').update(archive).digest('hex')}`;
    const exited = once(child, 'exit');
    await fetch(`${controlUrl}/stop`, { method: 'POST' });
    const [code] = (await exited) as [number];
    return { ...seen, code: String(code) };
  } finally {
    child.kill();
  }
}

describe('two simulated pools of the same seed, each in a process of its own', function () {
  this.timeout(30_000);

  it('serve the same bytes, and one of another seed does not', async () => {
    const [first, second, other] = await Promise.all([story('11'), story('11'), story('12')]);
    expect(first.code).to.equal('0');
    expect(Number(first.export?.split(' ')[0])).to.be.greaterThan(10 * 1024 * 1024);
    expect(second).to.deep.equal(first);
    for (const key of ['session', 'snapshot', 'VM', 'VDI', 'export']) expect(other[key], key).to.not.equal(first[key]);
  });
});
