import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { parseHostName } from '../src/browser/pool-source-name.js';
import { parseMachineName } from '../src/browser/source-name.js';
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
import { DirectoryRepository } from '../src/host/repository/directory-repository.js';
import { savesetFolder } from '../src/host/repository/repository-layout.js';
import { readJournal } from '../src/restore/overwrite-journal.js';
import { readRunMark } from '../src/session/run-marks.js';
import { parseAnswerHead, refusalError } from '../src/xapi/handler-answer.js';
import { parseExport, parseGreeting, parseOptionReply, parseReplyHeader } from '../src/xapi/nbd-protocol.js';
import { NbdReplies } from '../src/xapi/nbd-replies.js';
import { isTransportError } from '../src/xapi/transport-error.js';
import { readRecord } from '../src/xapi/xapi-records.js';
import { isXapiError } from '../src/xapi/xapi-error.js';

export interface Samples {
  readonly archive: Buffer;
  readonly ovaXml: Buffer;
  readonly disk: Buffer;
  readonly record: Buffer;
  readonly manifest: Buffer;
  readonly database: Buffer;
  readonly config: Buffer;
  readonly tar: Buffer;
  /** Archive of a machine without its disks' data. */
  readonly bare: Buffer;
  /** A record of a machine as the pool sends it. */
  readonly machine: Buffer;
  /** The unpacked tar of a control domain. */
  readonly system: Buffer;
  readonly browsePath: string;
  readonly browse: (path: string) => Promise<unknown>;
}

export interface Target {
  readonly name: string;
  readonly sample: (samples: Samples) => Buffer;
  readonly eat: (bytes: Buffer, folder: string, samples: Samples) => unknown;
  /** The sample is JSON: half of the cases stay JSON. */
  readonly isJson?: boolean;
  /** Files are written for it, or a pool asked: fewer cases. */
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

/** Of archives, only so much is used in most cases: their heads are what there is to spoil. */
export const HEAD_BYTES = 24 * 1024;

const JOURNAL = {
  version: 1,
  run: 'a',
  host: 'b',
  sinceMs: 0,
  aliveUntilMs: 1,
  machine: 'c',
  imported: 'd',
  before: {
    fields: { name_label: 'web', order: 1 },
    memory: [1, 1, 1, 1],
    vcpus: { max: 1, atStartup: 1 },
    otherConfig: { a: 'b' },
    devices: [],
    interfaces: [],
  },
  oldDisks: ['a'],
  newDisks: ['b'],
};

export const TARGETS: readonly Target[] = [
  { name: 'XVA reader', sample: ({ archive }) => archive, eat: (bytes) => read(new XvaReader(), bytes) },
  {
    name: 'XVA without disks',
    sample: ({ bare }) => bare,
    eat: (bytes) => read(new XvaReader({ hasDiskData: false }), bytes),
  },
  { name: 'ova.xml', sample: ({ ovaXml }) => ovaXml, eat: (bytes) => parseOvaXml(bytes) },
  { name: 'VHD reader', sample: ({ disk }) => disk, eat: (bytes) => read(new VhdReader({}), bytes) },
  {
    name: 'tar headers',
    sample: ({ tar }) => tar.subarray(0, 512),
    eat: (bytes) => parseTarHeader(Buffer.concat([bytes, Buffer.alloc(512)]).subarray(0, 512), 0),
  },
  { name: 'tar of a host', sample: ({ system }) => system, eat: (bytes) => read(new SystemTarReader(), bytes) },
  { name: 'database dump', sample: ({ database }) => database, eat: (bytes) => read(new DatabaseDumpReader(), bytes) },
  {
    name: 'XML values',
    sample: () =>
      Buffer.from(
        '<value><struct><member><name>a</name><value><array><data><value>1</value><value><i4>2</i4></value></data></array></value></member></struct></value>',
      ),
    eat: (bytes) => parseXmlRpcValue(bytes.toString('utf8')),
  },
  { name: 'records of the pool', sample: ({ machine }) => machine, eat: eatRecord, isJson: true },
  {
    name: 'marks of runs',
    sample: () =>
      Buffer.from('{"run":"a","host":"b","sinceMs":0,"aliveUntilMs":1,"role":"base","object":"c","keep":"metadata"}'),
    eat: eatMark,
    isJson: true,
  },
  { name: 'journals', sample: () => Buffer.from(JSON.stringify(JOURNAL)), eat: eatJournal, isJson: true },
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
    sample: () =>
      Buffer.from(
        '4e42444d4147494349484156454f50540003' +
          '0003e889045565a9000000050000000100000000' +
          '00000000003000000003' +
          '67446698000000000000000000000001',
        'hex',
      ),
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
    eat: eatSavesetRecord,
    isJson: true,
  },
  {
    name: 'manifests',
    sample: ({ manifest }) => manifest,
    eat: (bytes) => parsePluginManifest(json(bytes)),
    isJson: true,
  },
  { name: 'configuration', sample: ({ config }) => config, eat: eatConfig, isJson: true, isSlow: true },
  {
    name: 'names of objects',
    sample: () => Buffer.from('vm/../host/12345678-1234-1234-1234-123456789abc'),
    eat: (bytes) => [parseHostName(bytes.toString('utf8')), parseMachineName(bytes.toString('utf8'))],
  },
  { name: 'tar member names', sample: () => Buffer.from('Ref:12/00000000'), eat: eatMemberName },
  {
    name: 'browse paths',
    sample: ({ browsePath }) => Buffer.from(browsePath),
    eat: (bytes, _folder, { browse }) => browse(bytes.toString('utf8')),
    isSlow: true,
  },
  {
    name: 'ids given to a repository',
    sample: () => Buffer.from('web-20260102T030405Z-a1b2c3'),
    eat: eatRepositoryId,
    isSlow: true,
  },
  { name: 'saveset ids', sample: () => Buffer.from('web-20260102T030405Z-a1b2c3'), eat: eatId },
];

/** What a server says, one piece after the other: it greets, takes an option, names the export, answers a read. */
function eatHandshake(bytes: Buffer): unknown {
  const padded = Buffer.concat([bytes, Buffer.alloc(64)]);
  return [
    parseGreeting(padded.subarray(0, 18)),
    parseOptionReply(padded.subarray(18, 38), 'startTls'),
    parseExport(padded.subarray(38, 48)),
    parseReplyHeader(padded.subarray(48, 64)),
  ];
}

/** A record has values of the same kinds, whatever was sent. */
function eatRecord(bytes: Buffer): unknown {
  const sent = json(bytes);
  for (const cls of ['VM', 'VDI', 'SR', 'host', 'task'] as const) {
    const [read, plain] = [readRecord(cls, sent), readRecord(cls, {})];
    for (const [field, value] of Object.entries(plain)) {
      const found: unknown = Reflect.get(read, field);
      if (typeof found !== typeof value || Array.isArray(found) !== Array.isArray(value))
        throw new TypeError(`${cls}.${field} became ${JSON.stringify(found).slice(0, 80)}`);
    }
  }
  if (typeof sent !== 'object' || sent === null) throw new FormatError('no record');
  return sent;
}

/** What can't be understood counts as not there. */
function eatMark(bytes: Buffer): unknown {
  const mark = readRunMark({ 'xen-backup:run': bytes.toString('utf8') });
  if (mark === undefined) throw new FormatError('no mark');
  if (typeof mark.run !== 'string' || !Number.isFinite(mark.aliveUntilMs)) throw new TypeError('half a mark');
  return mark;
}

function eatJournal(bytes: Buffer): unknown {
  const journal = readJournal({ 'xen-backup:overwrite': bytes.toString('utf8') });
  if (journal === undefined) throw new FormatError('no journal');
  if (![...journal.oldDisks, ...journal.newDisks].every((uuid) => typeof uuid === 'string'))
    throw new TypeError('half a journal');
  return journal;
}

/** No name in a record leads out of the folder of its saveset. */
function eatSavesetRecord(bytes: Buffer, folder: string): unknown {
  const record = parseSavesetRecord(bytes.toString('utf8'));
  const place = savesetFolder(folder, record.savesetId);
  for (const { name } of record.items) {
    if (dirname(join(place, name)) !== place || basename(name) !== name) throw new TypeError(`${name} leads away`);
  }
  return record;
}

/** The name of a first, empty member is spoilt and its header's checksum right: nothing but the name can be refused. */
function eatMemberName(bytes: Buffer, _folder: string, { tar, system }: Samples): unknown {
  const header = Buffer.from(tar.subarray(0, 512));
  header.fill(0, 0, 100);
  bytes.copy(header, 0, 0, 100);
  header.write('00000000000\0', 124, 'latin1');
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  parseTarHeader(header, 0);
  try {
    read(new XvaReader(), Buffer.concat([header, tar.subarray(0, HEAD_BYTES)]));
  } catch (error) {
    if (!isTyped(error)) throw error;
  }
  return read(new SystemTarReader(), Buffer.concat([header, system]));
}

/** A repository is asked for savesets of such names: nothing beside it is read, made or removed. */
async function eatRepositoryId(bytes: Buffer, folder: string): Promise<unknown> {
  const path = join(folder, 'outside', 'repository');
  const treasure = join(folder, 'outside', 'saveset.json');
  await mkdir(dirname(path), { recursive: true });
  await writeFile(treasure, 'treasure');
  const repository = await DirectoryRepository.open(path, { create: true, hostId: 'torture' });
  const id = bytes.toString('utf8');
  await repository.openMedia(id).catch((error: unknown) => {
    if (!isTyped(error)) throw error;
  });
  let refusal: Error | undefined;
  try {
    await (await repository.begin(id)).discard();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    refusal = error;
  }
  const beside = await readdir(dirname(path));
  if (beside.sort().join() !== 'repository,saveset.json' || (await readFile(treasure, 'utf8')) !== 'treasure')
    throw new TypeError(`beside the repository: ${beside.join()}`);
  if (refusal !== undefined) throw refusal;
  return id;
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

/** One of our own errors. */
export function isTyped(error: unknown): boolean {
  return error instanceof FormatError || isBackupError(error) || isTransportError(error) || isXapiError(error);
}
