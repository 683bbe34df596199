import { type Readable } from 'node:stream';
import { Readable as ReadableStream } from 'node:stream';

/** What the demo wanted to prove does not hold. */
export class DemoError extends Error {
  override readonly name = 'DemoError';
}

type Answer = Readonly<Record<string, unknown>>;

export interface WitnessedDisk {
  readonly userdevice: string;
  readonly vdi: string;
  readonly sizeBytes: number;
}

/**
 * Looks at the pool with nothing but JSON-RPC and plain HTTP: what it says does not depend on a line of the plugin.
 */
export class PoolWitness {
  #session = '';

  constructor(
    private readonly httpUrl: string,
    private readonly username: string,
    private readonly password: string,
  ) {}

  async logIn(): Promise<void> {
    this.#session = await this.#rpc<string>('session.login_with_password', [
      this.username,
      this.password,
      '1.0',
      'demo',
    ]);
  }

  async logOut(): Promise<void> {
    await this.call('session.logout');
  }

  call<Result>(method: string, ...params: readonly unknown[]): Promise<Result> {
    return this.#rpc<Result>(method, [this.#session, ...params]);
  }

  /** Reference of the one VM of that name that is no snapshot. */
  async machine(name: string): Promise<string> {
    const machines = await this.call<Record<string, Answer>>('VM.get_all_records');
    const [found] = Object.entries(machines).filter(([, vm]) => vm.name_label === name && vm.is_a_snapshot === false);
    if (found === undefined) throw new DemoError(`There is no VM called ${name}.`);
    return found[0];
  }

  /** The hard disks of a VM or snapshot, in order. */
  async disks(vm: string): Promise<readonly WitnessedDisk[]> {
    const disks: WitnessedDisk[] = [];
    for (const ref of await this.call<string[]>('VM.get_VBDs', vm)) {
      const vbd = await this.call<Answer>('VBD.get_record', ref);
      if (vbd.type !== 'Disk') continue;
      const vdi = String(vbd.VDI);
      const sizeBytes = Number(await this.call('VDI.get_virtual_size', vdi));
      disks.push({ userdevice: String(vbd.userdevice), vdi, sizeBytes });
    }
    return disks.sort((a, b) => Number(a.userdevice) - Number(b.userdevice));
  }

  async macs(vm: string): Promise<readonly string[]> {
    const vifs = await this.call<string[]>('VM.get_VIFs', vm);
    return (await Promise.all(vifs.map((vif) => this.call<string>('VIF.get_MAC', vif)))).sort();
  }

  /** Writes `bytes` over the beginning of a disk, as somebody who means harm would. */
  async overwriteStart(vdi: string, bytes: Buffer, diskBytes: number): Promise<void> {
    // The pool takes whole disks: the rest of it is sent as it is.
    const rest = Buffer.from(await (await this.#raw('GET', '/export_raw_vdi', vdi)).arrayBuffer());
    bytes.copy(rest);
    if (rest.length !== diskBytes) throw new DemoError('A disk came back with another size.');
    await (await this.#raw('PUT', '/import_raw_vdi', vdi, rest)).text();
  }

  /** Has a running guest write noise to its disk, as its own programs would: over the simulator's control port. */
  async writeInGuest(controlUrl: string, vm: string, position: number, offset: number, length: number): Promise<void> {
    const order = { disk: { vm, position }, offset, random: { length, seed: offset } };
    const answer = await fetch(`${controlUrl}/writeDisk`, { method: 'POST', body: JSON.stringify(order) });
    if (answer.status !== 200) throw new DemoError(`The control port answered ${answer.status}.`);
  }

  /** True when two disks hold the same bytes, compared one by one while they stream. */
  async isSame(a: WitnessedDisk, b: WitnessedDisk): Promise<boolean> {
    if (a.sizeBytes !== b.sizeBytes) return false;
    const [left, right] = await Promise.all([this.#open(a.vdi), this.#open(b.vdi)]);
    return sameBytes(left, right, a.sizeBytes);
  }

  async #open(vdi: string): Promise<Readable> {
    const { body } = await this.#raw('GET', '/export_raw_vdi', vdi);
    if (body === null) throw new DemoError('A disk came without a body.');
    return ReadableStream.fromWeb(body);
  }

  async #raw(method: string, path: string, vdi: string, body?: Buffer): Promise<Response> {
    const query = new URLSearchParams({ session_id: this.#session, vdi, format: 'raw' }).toString();
    const answer = await fetch(`${this.httpUrl}${path}?${query}`, body === undefined ? { method } : { method, body });
    if (answer.status !== 200) throw new DemoError(`${path} answered ${answer.status}.`);
    return answer;
  }

  async #rpc<Result>(method: string, params: readonly unknown[]): Promise<Result> {
    const answer = await fetch(`${this.httpUrl}/jsonrpc`, {
      method: 'POST',
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
      headers: { 'content-type': 'application/json' },
    });
    const { result, error } = (await answer.json()) as { result?: Result; error?: { message: string } };
    if (error !== undefined) throw new DemoError(`${method} failed: ${error.message}`);
    return result as Result;
  }
}

async function sameBytes(left: Readable, right: Readable, sizeBytes: number): Promise<boolean> {
  const others = right[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let pending = Buffer.alloc(0);
  let comparedBytes = 0;
  for await (const piece of left as AsyncIterable<Buffer>) {
    for (let at = 0; at < piece.length;) {
      if (pending.length === 0) {
        const next = await others.next();
        if (next.done === true) return false;
        pending = Buffer.from(next.value);
      }
      const length = Math.min(pending.length, piece.length - at);
      if (pending.compare(piece, at, at + length, 0, length) !== 0) {
        left.destroy();
        right.destroy();
        return false;
      }
      pending = pending.subarray(length);
      at += length;
      comparedBytes += length;
    }
  }
  return comparedBytes === sizeBytes && pending.length === 0;
}
