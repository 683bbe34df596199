import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { parseHostName } from '../src/browser/pool-source-name.js';
import { parseMachineName } from '../src/browser/source-name.js';
import { packageRoot } from '../src/common/package-root.js';
import { isBackupError, parsePluginManifest, parseSavesetRecord } from '../src/contract/index.js';
import { DatabaseDumpReader } from '../src/format/database-dump-reader.js';
import { FormatError } from '../src/format/format-error.js';
import { parseXapiErrorPage } from '../src/format/http-error-text.js';
import { parseOvaXml } from '../src/format/ova-xml.js';
import { SystemTarReader } from '../src/format/system-tar-reader.js';
import { parseTarHeader } from '../src/format/tar-header.js';
import { VhdReader } from '../src/format/vhd-reader.js';
import { parseXmlRpcValue } from '../src/format/xml-rpc-value.js';
import { XvaReader } from '../src/format/xva-reader.js';
import { readConfigFile } from '../src/host/config-file.js';
import { savesetFolder } from '../src/host/repository/repository-layout.js';
import { readJournal } from '../src/restore/overwrite-journal.js';
import { readRunMark } from '../src/session/run-marks.js';
import { parseAnswerHead, refusalError } from '../src/xapi/handler-answer.js';
import { parseExport, parseGreeting, parseOptionReply, parseReplyHeader } from '../src/xapi/nbd-protocol.js';
import { NbdReplies } from '../src/xapi/nbd-replies.js';
import { isTransportError } from '../src/xapi/transport-error.js';
import { readRecord } from '../src/xapi/xapi-records.js';
import { isXapiError } from '../src/xapi/xapi-error.js';
import { Arena } from './arena.js';
import { type PartResult } from './report.js';

/** No input of these sizes may take longer, on a machine that does other things, too. */
const LONGEST_MS = 3_000;
const MOST_GROWTH_BYTES = 512 * 1024 * 1024;
/** Of archives, only so much is used in most cases: their heads are what there is to spoil. */
const HEAD_BYTES = 24 * 1024;

interface Samples {
  readonly archive: Buffer;
  readonly ovaXml: Buffer;
  readonly disk: Buffer;
  readonly record: Buffer;
  readonly manifest: Buffer;
  readonly database: Buffer;
  readonly config: Buffer;
  readonly tar: Buffer;
}

interface Target {
  readonly name: string;
  readonly sample: (samples: Samples) => Buffer;
  readonly eat: (bytes: Buffer, folder: string) => unknown;
  /** Files are written for it: fewer cases. */
  readonly isSlow?: boolean;
}

const pieces = (bytes: Buffer): readonly Buffer[] => {
  const size = 1 + (bytes[bytes.length >> 1] ?? 0) * 97;
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );
};

function read(reader: { push(piece: Buffer): unknown; end(): unknown }, bytes: Buffer): unknown {
  for (const piece of pieces(bytes)) reader.push(piece);
  return reader.end();
}

const json = (bytes: Buffer): unknown => {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch {
    return bytes.toString('utf8');
  }
};

const TARGETS: readonly Target[] = [
  { name: 'XVA reader', sample: ({ archive }) => archive, eat: (bytes) => read(new XvaReader(), bytes) },
  { name: 'ova.xml', sample: ({ ovaXml }) => ovaXml, eat: (bytes) => parseOvaXml(bytes) },
  { name: 'VHD reader', sample: ({ disk }) => disk, eat: (bytes) => read(new VhdReader({}), bytes) },
  {
    name: 'tar headers',
    sample: ({ tar }) => tar.subarray(0, 512),
    eat: (bytes) => parseTarHeader(Buffer.concat([bytes, Buffer.alloc(512)]).subarray(0, 512), 0),
  },
  { name: 'tar of a host', sample: ({ tar }) => tar, eat: (bytes) => read(new SystemTarReader(), bytes) },
  { name: 'database dump', sample: ({ database }) => database, eat: (bytes) => read(new DatabaseDumpReader(), bytes) },
  {
    name: 'XML values',
    sample: () =>
      Buffer.from(
        '<value><struct><member><name>a</name><value><array><data><value>1</value><value><i4>2</i4></value></data></array></value></member></struct></value>',
      ),
    eat: (bytes) => parseXmlRpcValue(bytes.toString('utf8')),
  },
  {
    name: 'records of the pool',
    sample: ({ record }) => record,
    eat: (bytes) => [
      readRecord('VM', json(bytes)),
      readRecord('VDI', { other_config: json(bytes), virtual_size: json(bytes) }),
    ],
  },
  {
    name: 'marks and journals',
    sample: () => Buffer.from('{"run":"a","host":"b","sinceMs":0,"aliveUntilMs":1,"role":"snapshot"}'),
    eat: (bytes) => [
      readRunMark({ 'xen-backup:run': bytes.toString('utf8') }),
      readJournal({ 'xen-backup:overwrite': bytes.toString('utf8'), 'xen-backup:journal': bytes.toString('utf8') }),
    ],
  },
  {
    name: 'HTTP heads and error pages',
    sample: () =>
      Buffer.from(
        'HTTP/1.1 500 Internal Error\r\nContent-Length: 40\r\nConnection: close\r\n\r\n<html><body>INTERNAL_ERROR: [ a; b ]</body></html>',
      ),
    eat: (bytes) => [
      parseXapiErrorPage(bytes.toString('latin1')),
      refusalError(500, bytes.toString('latin1')),
      parseAnswerHead(bytes),
    ],
  },
  {
    name: 'NBD handshake',
    sample: () => Buffer.from('4e42444d4147494349484156454f505400030003e889045565a9000000050000000100000000', 'hex'),
    eat: eatHandshake,
  },
  {
    name: 'NBD replies',
    sample: () =>
      Buffer.from(`67446698000000000000000000000001${'ab'.repeat(64)}67446698000000000000000000000002`, 'hex'),
    eat: eatReplies,
  },
  {
    name: 'saveset records',
    sample: ({ record }) => record,
    eat: (bytes) => parseSavesetRecord(bytes.toString('utf8')),
  },
  { name: 'manifests', sample: ({ manifest }) => manifest, eat: (bytes) => parsePluginManifest(json(bytes)) },
  { name: 'configuration', sample: ({ config }) => config, eat: eatConfig, isSlow: true },
  {
    name: 'names of objects',
    sample: () => Buffer.from('vm/../host/12345678-1234-1234-1234-123456789abc'),
    eat: (bytes) => [parseHostName(bytes.toString('utf8')), parseMachineName(bytes.toString('utf8'))],
  },
  { name: 'saveset ids', sample: () => Buffer.from('web-20260102T030405Z-a1b2c3'), eat: eatId },
];

function eatHandshake(bytes: Buffer): unknown {
  const padded = Buffer.concat([bytes, Buffer.alloc(64)]);
  const results: unknown[] = [];
  for (const parse of [
    () => parseGreeting(padded.subarray(0, 18)),
    () => parseOptionReply(padded.subarray(18, 38), 'startTls'),
    () => parseExport(padded.subarray(0, 10)),
    () => parseReplyHeader(padded.subarray(0, 16)),
  ]) {
    try {
      results.push(parse());
    } catch (error) {
      if (!isTyped(error)) throw error;
    }
  }
  return results;
}

function eatReplies(bytes: Buffer): unknown {
  const replies = new NbdReplies();
  const guard = Buffer.alloc(3 * 64, 0x77);
  for (const place of [0, 2])
    replies.expect(guard.subarray(place * 64, place * 64 + 64)).answered.catch(() => undefined);
  try {
    for (const piece of pieces(bytes)) replies.push(piece);
  } finally {
    replies.fail(new FormatError('over'));
  }
  // Nothing is ever written beyond the buffers of the requests.
  if (!guard.subarray(64, 128).every((byte) => byte === 0x77)) throw new TypeError('a reply wrote beyond its buffer');
  return guard;
}

async function eatConfig(bytes: Buffer, folder: string): Promise<unknown> {
  const path = join(folder, 'config.json');
  await writeFile(path, bytes);
  return await readConfigFile(path);
}

function eatId(bytes: Buffer, folder: string): unknown {
  const id = bytes.toString('utf8');
  const path = savesetFolder(folder, id);
  if (path !== `${join(folder, 'savesets')}/${id}` || /[/\\\0]|^\.\.?$/.test(id))
    throw new TypeError(`${id} leads to ${path}`);
  return path;
}

interface Edit {
  readonly kind: 'flip' | 'fill' | 'cut out' | 'insert' | 'repeat' | 'end here' | 'digits';
  readonly at: number;
  readonly length: number;
  readonly bytes: Uint8Array;
}

const TOKENS = [
  '../',
  '..\\',
  '\0',
  '__proto__',
  'constructor',
  '<!DOCTYPE a [<!ENTITY b "c">]>',
  '&b;',
  '&#0;',
  ']]>',
  '-->',
  '<value>'.repeat(3000),
  '{"a":'.repeat(3000),
  '['.repeat(5000),
  '99999999999999999999',
  '-1',
  '1e999',
  'NaN',
  '\ud800',
  '\u202e',
  '%2e%2e%2f',
  '/',
  '"',
  '\r\n\r\n',
  'HTTP/1.1 500 Internal Error\r\n',
];

const edits: fc.Arbitrary<readonly Edit[]> = fc.array(
  fc.record({
    kind: fc.constantFrom<Edit['kind'][]>('flip', 'fill', 'cut out', 'insert', 'repeat', 'end here', 'digits'),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 4096 })),
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom(...TOKENS).map((text) => Buffer.from(text)),
    ),
  }),
  { minLength: 1, maxLength: 5 },
);
const input = fc.oneof(
  { weight: 8, arbitrary: fc.record({ edits, isWhole: fc.integer({ min: 0, max: 63 }).map((n) => n === 0) }) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 2048 }) },
);

function edited(sample: Buffer, all: readonly Edit[]): Buffer {
  let bytes = Buffer.from(sample);
  for (const { kind, at, length, bytes: own } of all) {
    const from = Math.min(bytes.length, Math.floor(at * bytes.length));
    const until = Math.min(bytes.length, from + length);
    if (kind === 'flip' && from < bytes.length) bytes.writeUInt8(bytes.readUInt8(from) ^ (1 << (length % 8)), from);
    else if (kind === 'fill') bytes.fill(own[0] ?? 0, from, until);
    else if (kind === 'digits') bytes.fill('9', from, until);
    else if (kind === 'end here') bytes = bytes.subarray(0, from);
    else if (kind === 'cut out') bytes = Buffer.concat([bytes.subarray(0, from), bytes.subarray(until)]);
    else if (kind === 'insert') bytes = Buffer.concat([bytes.subarray(0, from), own, bytes.subarray(from)]);
    else if (kind === 'repeat') bytes = Buffer.concat([bytes.subarray(0, until), bytes.subarray(from)]);
  }
  return bytes;
}

/** Every reader of what comes from outside eats spoilt samples: it gives a result or one of our errors, soon. */
export async function tortureWithHostileInput(seed: number, cases: number): Promise<PartResult> {
  const counts: Record<string, number> = {};
  const problems: string[] = [];
  const folder = await mkdtemp(join(tmpdir(), 'torture-'));
  try {
    const samples = await samplesOf();
    const slowCases = Math.ceil(cases / 100);
    const quick = TARGETS.filter(({ isSlow }) => isSlow !== true).length;
    const eachCases = Math.ceil((cases - slowCases * (TARGETS.length - quick)) / quick);
    const startBytes = process.memoryUsage().rss;
    let mostBytes = startBytes;
    for (const target of TARGETS) {
      const sample = target.sample(samples);
      let rejected = 0;
      const property = fc.asyncProperty(input, async (given) => {
        const base = 'isWhole' in given && !given.isWhole ? sample.subarray(0, HEAD_BYTES) : sample;
        const bytes = 'edits' in given ? edited(base, given.edits) : Buffer.from(given);
        const fromMs = performance.now();
        try {
          await target.eat(bytes, folder);
        } catch (error) {
          if (!isTyped(error)) throw error;
          rejected += 1;
        }
        const elapsedMs = performance.now() - fromMs;
        if (elapsedMs > LONGEST_MS) throw new TypeError(`it took ${elapsedMs.toFixed(0)} ms`);
      });
      const numRuns = target.isSlow === true ? slowCases : eachCases;
      const { failed, counterexample, errorInstance } = await fc.check(property, {
        seed,
        numRuns,
        endOnFailure: false,
      });
      mostBytes = Math.max(mostBytes, process.memoryUsage().rss);
      counts[`${target.name}: cases`] = numRuns;
      counts[`${target.name}: refused`] = rejected;
      if (failed)
        problems.push(`${target.name}: ${String(errorInstance)} for ${JSON.stringify(counterexample).slice(0, 200)}`);
    }
    counts['cases in all'] = TARGETS.reduce((sum, { name }) => sum + (counts[`${name}: cases`] ?? 0), 0);
    const growth = mostBytes - startBytes;
    if (growth > MOST_GROWTH_BYTES) problems.push(`memory grew by ${growth} bytes`);
  } finally {
    await rm(folder, { recursive: true });
  }
  return { counts, problems };
}

function isTyped(error: unknown): boolean {
  return error instanceof FormatError || isBackupError(error) || isTransportError(error) || isXapiError(error);
}

/** Sound samples of everything, as a backup of each kind stores it. */
async function samplesOf(): Promise<Samples> {
  const arena = await Arena.open();
  try {
    const read = async (id: string, name: string): Promise<Buffer> =>
      await readFile(join(arena.repository.path, 'savesets', id, name));
    const archive = await arena.backup('template/golden', 'full');
    const disks = await arena.backup('vm/web', 'full', { format: 'disks' });
    const pool = await arena.backup('pool/metadata', 'full');
    const xva = await read(archive.savesetId, archive.items[0]!.name);
    const headBytes = 512;
    const ovaBytes = parseTarHeader(xva.subarray(0, headBytes), 0).sizeBytes;
    const disk = disks.items.find(({ mediaType }) => mediaType === 'application/x-vhd')!;
    return {
      archive: xva,
      ovaXml: xva.subarray(headBytes, headBytes + ovaBytes),
      disk: await read(disks.savesetId, disk.name),
      record: await read(disks.savesetId, 'saveset.json'),
      manifest: await readFile(join(packageRoot(), 'plugin.manifest.json')),
      database: await read(pool.savesetId, pool.items[0]!.name),
      config: Buffer.from(
        '{"repository":"a","clients":{"lab":{"settings":{"url":"https://a","username":"root","password":"env:A"}}}}',
      ),
      tar: xva,
    };
  } finally {
    await arena.close();
  }
}
