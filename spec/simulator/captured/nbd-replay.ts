import { MIB } from '../../../src/common/byte-size.js';
import { setOf, textOf, type XapiRecord } from '../../../src/simulator/wire/wire-value.js';
import { type Json } from '../support/rpc-client.js';
import { type NbdInfo, NbdPeer } from '../support/nbd-peer.js';
import { type CapturedWorld } from './captured-world.js';
import { type Comparison } from './comparison.js';
import { type CapturedNbdAnswer, type CapturedNbdStep, infoData, type NbdDisks, OPTIONS, vbdOf } from './nbd-steps.js';

const REPLY_BYTES = 16;
const REPLY_MAGIC = '67446698';
const EXPORT_BYTES = 134;
const GREETING_BYTES = 18;
const MAX_CONNECTIONS = 16;

/** Says to the simulated NBD server what was said to a real one, and compares what comes back. */
export class NbdReplay {
  readonly #world: CapturedWorld;
  readonly #comparison: Comparison;
  readonly #disks: NbdDisks;
  #vdi: string;
  #info: NbdInfo | undefined;
  #peer: NbdPeer | undefined;
  #secondSession = '';
  readonly #crowd: NbdPeer[] = [];

  constructor(world: CapturedWorld, comparison: Comparison, disks: NbdDisks) {
    this.#world = world;
    this.#comparison = comparison;
    this.#disks = disks;
    this.#vdi = disks.plain;
  }

  async run(steps: readonly CapturedNbdStep[]): Promise<void> {
    try {
      for (const step of steps) {
        this.#comparison.steps += 1;
        const secured = step.tls === true ? ' over TLS' : '';
        this.#compare(`nbd: ${step.note}${secured}`, step, await this.#answer(step));
      }
    } finally {
      this.#leave();
      for (const peer of this.#crowd) peer.close();
    }
  }

  /** Only what the simulated side can tell is compared; times and notes are not answers. */
  #compare(place: string, captured: CapturedNbdStep, simulated: CapturedNbdAnswer): void {
    this.#comparison.answers += 1;
    for (const [name, value] of Object.entries(simulated)) {
      const wanted = (captured as unknown as Json)[name];
      this.#comparison.compare(`${place}.${name}`, wanted ?? null, value ?? null);
    }
  }

  async #answer(step: CapturedNbdStep): Promise<CapturedNbdAnswer> {
    const { note } = step;
    if (note.startsWith('VDI.get_nbd_info')) return this.#nbdInfo(step);
    if (note.startsWith('connect ')) return this.#refusedConnection(note);
    if (note.startsWith('greeting')) return this.#greeting();
    if (note === 'client flags sent: 00000001') return this.#send('00000001');
    if (note.startsWith('client flags')) return this.#otherFlags(step);
    if (note.startsWith('option ')) return this.#option(step);
    if (note === 'TLS') return { version: this.#peer?.tlsVersion, subject_checked: this.#info?.subject };
    if (note === 'EXPORT_NAME before STARTTLS') {
      await this.#reopen(false);
      await this.#current().export(this.#goodName());
      return this.#unasked();
    }
    if (note.startsWith('EXPORT_NAME')) return this.#exportName(step);
    if (note.startsWith('8 reads')) return this.#pipelined();
    if (note === 'wrong request magic') return this.#wrongMagic(step);
    if (note === 'then, unasked') return this.#unasked();
    if (note === 'disconnect') return this.#disconnect(step);
    if (note.startsWith('connection number')) return this.#join(note);
    if (step.request !== undefined) return this.#request(step);
    return this.#aroundTheDisk(step);
  }

  async #nbdInfo({ note }: CapturedNbdStep): Promise<CapturedNbdAnswer> {
    const { client } = this.#world;
    const [network] = this.#disks.networks;
    const purpose = /with network purpose (.*)$/.exec(note)?.[1];
    if (purpose === 'nbd') {
      this.#leave();
      await client.call('network.remove_purpose', network, 'insecure_nbd');
      this.#vdi = this.#disks.second;
    }
    if (purpose !== undefined) await client.call('network.add_purpose', network, purpose);
    const vdi = note.endsWith('a null ref') ? 'OpaqueRef:NULL' : this.#vdi;
    const answer = await this.#call('VDI.get_nbd_info', vdi);
    const found = (answer.result as readonly NbdInfo[] | undefined)?.[0];
    if (found !== undefined) {
      this.#info = { ...found, exportname: found.exportname.replace('<session>', client.session) };
    }
    return { answer };
  }

  async #refusedConnection(note: string): Promise<CapturedNbdAnswer> {
    const { client, pool } = this.#world;
    if (note.includes('removed')) await client.call('network.remove_purpose', this.#disks.networks[0], 'nbd');
    this.#leave();
    this.#peer = await NbdPeer.connect({ address: '127.0.0.1', port: pool.pool.nbdPort });
    return this.#unasked();
  }

  async #greeting(): Promise<CapturedNbdAnswer> {
    this.#leave();
    this.#peer = await NbdPeer.connect(this.#nbd());
    return { bytes: (await this.#peer.take(GREETING_BYTES)).toString('hex') };
  }

  #send(hex: string): CapturedNbdAnswer {
    this.#current().send(hex);
    return {};
  }

  /** A connection of its own, with other flags than the usual ones. */
  async #otherFlags({ note, tls = false }: CapturedNbdStep): Promise<CapturedNbdAnswer> {
    this.#leave();
    const peer = await NbdPeer.connect(this.#nbd());
    this.#peer = peer;
    await peer.take(GREETING_BYTES);
    peer.send(note.includes('00000003') ? '00000003' : '00000000');
    if (!note.includes('EXPORT_NAME')) {
      const left = await peer.ended();
      return { answer: left.length === 0 ? null : left.toString('hex') };
    }
    if (tls) await peer.startTls(this.#nbd());
    const answer = await peer.export(this.#goodName());
    peer.request(0, 0, 0);
    const reply = await peer.take(REPLY_BYTES);
    const end = reply.toString('hex').startsWith(REPLY_MAGIC) ? 'open, silent' : 'more';
    return { answer_bytes: answer.length, answer: answer.subarray(0, 10).toString('hex'), end };
  }

  async #option({ note }: CapturedNbdStep): Promise<CapturedNbdAnswer> {
    const name = note.replace(/^option | (before|again after|after) TLS$/g, '');
    if (name === 'STARTTLS' && this.#info !== undefined && this.#isSecurePool() && !this.#current().isSecure) {
      return { answer: await this.#current().startTls(this.#info) };
    }
    const data = name === 'GO' || name === 'INFO' ? infoData(this.#goodName()) : '';
    const answer = await this.#current().option(OPTIONS[name] ?? 0, data);
    return name === 'ABORT' ? { answer, end: await this.#end() } : { answer };
  }

  async #exportName({ request = '', tls = false }: CapturedNbdStep): Promise<CapturedNbdAnswer> {
    await this.#reopen(tls);
    const { binding } = this.#comparison;
    const name = binding.translate(request).replace('<session>', this.#world.client.session);
    const bytes = await this.#current().export(name);
    if (bytes.length < EXPORT_BYTES) return { answer_bytes: bytes.length, size: null, end: await this.#end() };
    return {
      answer_bytes: bytes.length,
      size: Number(bytes.readBigUInt64BE(0)),
      transmission_flags: bytes.subarray(8, 10).toString('hex'),
      padding_zero: bytes.subarray(10).every((byte) => byte === 0),
    };
  }

  /** A request on the connection that is open, or on a new one. */
  async #request({
    request = '',
    tls = false,
    data_bytes: dataBytes = 0,
    end,
  }: CapturedNbdStep): Promise<CapturedNbdAnswer> {
    if (this.#peer?.hasExport !== true) await this.#serve(tls);
    const peer = this.#current();
    const [head = '', data] = request.split('+');
    peer.send(Buffer.concat([Buffer.from(head, 'hex'), Buffer.alloc(data === undefined ? 0 : 512)]));
    const reply = await peer.take(REPLY_BYTES);
    const body = await peer.take(dataBytes);
    const given = { answer_header: reply.toString('hex'), ...(dataBytes > 0 ? { data_bytes: body.length } : {}) };
    if (end !== 'closed') return given;
    const rest = await peer.ended();
    this.#leave();
    return { ...given, data_bytes: rest.length, end: 'closed' };
  }

  async #pipelined(): Promise<CapturedNbdAnswer> {
    await this.#serve(false);
    const handles = [1, 2, 3, 4, 5, 6, 7, 8];
    for (const handle of handles) this.#current().request(0, handle * MIB, 512, handle);
    const order: number[] = [];
    while (order.length < handles.length) {
      const reply = await this.#current().take(REPLY_BYTES + 512);
      order.push(Number(reply.readBigUInt64BE(8)));
    }
    return { order };
  }

  async #wrongMagic({ tls = false }: CapturedNbdStep): Promise<CapturedNbdAnswer> {
    await this.#serve(tls);
    this.#current().send(`25609514${'0'.repeat(48)}`);
    return this.#unasked();
  }

  async #disconnect({ tls = false }: CapturedNbdStep): Promise<CapturedNbdAnswer> {
    if (this.#peer?.hasExport !== true) await this.#serve(tls);
    this.#current().request(2, 0, 0);
    return this.#unasked();
  }

  /** Clients come until there are as many as the note says. */
  async #join(note: string): Promise<CapturedNbdAnswer> {
    this.#leave();
    if (this.#crowd.length === 0) await this.#untilFree();
    const wanted = Number(/number (\d+)/.exec(note)?.[1]);
    for (;;) {
      const peer = await NbdPeer.connect(this.#nbd());
      this.#crowd.push(peer);
      const greeting = (await peer.take(GREETING_BYTES)).toString('hex');
      if (this.#crowd.length > MAX_CONNECTIONS) {
        this.#crowd.pop();
        this.#peer = peer;
        return { greeting, end: await this.#end(), vbds_of_the_vdi: this.#vbds().length };
      }
      peer.send('00000001');
      const answer = await peer.export(this.#goodName());
      if (this.#crowd.length === wanted) {
        return { greeting, export_answer_bytes: answer.length, vbds_of_the_vdi: this.#vbds().length };
      }
    }
  }

  /** What XAPI says of the disk while clients come and go. */
  async #aroundTheDisk({ note }: CapturedNbdStep): Promise<CapturedNbdAnswer> {
    const { client } = this.#world;
    const { store } = this.#world.pool.pool;
    switch (note) {
      case 'the 17th after one of the 16 left':
        this.#crowd.shift()?.close();
        this.#peer = await NbdPeer.connect(this.#nbd());
        return this.#unasked();
      case 'VDI.VBDs while clients are connected':
        await this.#until(() => this.#vbds().length < MAX_CONNECTIONS);
        return { count: this.#vbds().length, first: await client.call<Json>('VBD.get_record', this.#lastVbd()) };
      case 'the VM of that VBD': {
        const vm = await client.call<Json>('VM.get_record', textOf(store.get('VBD', this.#lastVbd()), 'VM'));
        const { name_label, power_state, VBDs, domid, is_control_domain } = vm;
        return { vm: { name_label, power_state, VBDs, domid: Number(domid), is_control_domain } };
      }
      case 'VDI record while clients are connected':
        return { record: await client.call<Json>('VDI.get_record', this.#vdi) };
      case 'VDI.VBDs 3 s after all clients closed':
        for (const peer of this.#crowd.splice(0)) peer.close();
        await this.#untilFree();
        return { count: this.#vbds().length };
      case 'one client connected: VDI.destroy':
        await this.#serve(false);
        return { answer: await this.#call('VDI.destroy', this.#vdi) };
      case 'VDI.resize':
        return { answer: await this.#call('VDI.resize', this.#vdi, String(80 * MIB)) };
      case 'VDI.snapshot':
        return { answer: await this.#call('VDI.snapshot', this.#vdi, {}) };
      case 'VDI.forget':
        return { answer: await this.#call('VDI.get_allowed_operations', this.#vdi) };
      case 'VBD.create of the served VDI on a halted VM':
        return { answer: await this.#call('VBD.create', vbdOf(this.#disks.vm, this.#vdi)) };
      case 'VM.start of that VM':
        return { answer: await this.#call('VM.start', this.#disks.vm, false, false) };
      case 'dom0 VBDs of that VDI 3 s after disconnect (session long gone)':
        this.#leave();
        await this.#untilFree();
        return { vbds: this.#vbds() };
      case 'client closed without disconnect: dom0 VBD gone after (s)':
        await this.#serve(false);
        this.#leave();
        await this.#untilFree();
        return { left: this.#vbds().length };
      case 'VDI.destroy then':
        return { answer: await this.#call('VDI.destroy', this.#vdi) };
      case 'add insecure_nbd beside nbd':
        return { answer: await this.#call('network.add_purpose', this.#disks.networks[0], 'insecure_nbd') };
      case 'add insecure_nbd on another network':
        return { answer: await this.#call('network.add_purpose', this.#disks.networks[1], 'insecure_nbd') };
      default:
        return this.#withAnotherSession(note);
    }
  }

  async #withAnotherSession(note: string): Promise<CapturedNbdAnswer> {
    const { client, pool } = this.#world;
    if (note !== 'second session: EXPORT_NAME') throw new RangeError(`Nobody knows how to replay "${note}"`);
    await this.#withoutTheMachine();
    const login = await client.raw('session.login_with_password', [pool.username, pool.password]);
    this.#secondSession = String(login);
    await this.#reopen(false);
    const name = this.#goodName().replace(client.session, this.#secondSession);
    const answer = await this.#current().export(name);
    await client.raw('session.logout', [this.#secondSession]);
    return { answer_bytes: answer.length };
  }

  /** The machine that had the disk is gone by then. */
  async #withoutTheMachine(): Promise<void> {
    const { client } = this.#world;
    await client.call('VM.hard_shutdown', this.#disks.vm);
    const { store } = this.#world.pool.pool;
    for (const vbd of setOf(store.get('VM', this.#disks.vm), 'VBDs')) await client.call('VBD.destroy', vbd);
  }

  /** An error of the server ends a connection, so that nothing more comes. */
  async #unasked(): Promise<CapturedNbdAnswer> {
    const rest = await this.#current().ended();
    this.#leave();
    return { answer: rest.toString('hex'), end: 'closed' };
  }

  async #end(): Promise<string> {
    await this.#current().ended();
    this.#leave();
    return 'closed';
  }

  /** Greeted anew, in clear or not. */
  async #reopen(isSecure: boolean): Promise<void> {
    this.#leave();
    await this.#untilRoom();
    this.#peer = await NbdPeer.greeted(this.#nbd());
    if (isSecure) await this.#peer.startTls(this.#nbd());
  }

  async #serve(isSecure: boolean): Promise<void> {
    await this.#reopen(isSecure);
    await this.#current().export(this.#goodName());
  }

  #leave(): void {
    this.#peer?.close();
    this.#peer = undefined;
  }

  #current(): NbdPeer {
    if (this.#peer === undefined) throw new RangeError('There is no connection');
    return this.#peer;
  }

  #nbd(): NbdInfo {
    if (this.#info === undefined) throw new RangeError('Nobody has told where the disk is to be had');
    return this.#info;
  }

  #goodName(): string {
    return this.#nbd().exportname;
  }

  #isSecurePool(): boolean {
    return this.#vdi === this.#disks.second;
  }

  #vbds(): readonly string[] {
    return setOf(this.#world.pool.pool.store.get('VDI', this.#vdi), 'VBDs');
  }

  #lastVbd(): string {
    return this.#vbds().at(-1) ?? '';
  }

  /** Disks that are still being let go of count as connections (facts 7.3), and a replay makes many in no time. */
  #untilRoom(): Promise<void> {
    const { store } = this.#world.pool.pool;
    const ofControlDomain = (vbd: XapiRecord): boolean => store.get('VM', textOf(vbd, 'VM')).is_control_domain === true;
    const held = (): number => store.all('VBD').filter(([, vbd]) => ofControlDomain(vbd)).length;
    return this.#until(() => held() < MAX_CONNECTIONS / 2);
  }

  #untilFree(): Promise<void> {
    return this.#until(() => this.#vbds().length === 0);
  }

  /** Until the records say so: clients are told by nobody when the control domain has let go. */
  async #until(isTrue: () => boolean): Promise<void> {
    const { store } = this.#world.pool.pool;
    while (!isTrue()) {
      await new Promise<void>((resolve) => {
        const stop = store.onChange(() => {
          stop();
          resolve();
        });
      });
    }
  }

  #call(method: string, ...params: readonly unknown[]): Promise<Json> {
    const { client } = this.#world;
    return client
      .post({ jsonrpc: '2.0', id: 1, method, params: [client.session, ...params] })
      .then((answer) => JSON.parse(JSON.stringify(answer).replaceAll(client.session, '<session>')) as Json);
  }
}
