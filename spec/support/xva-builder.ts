import { createHash } from 'node:crypto';
import { xxhash64 } from 'hash-wasm';

export const MIB = 1024 * 1024;

export interface BuiltDisk {
  readonly id: string;
  readonly sizeBytes: number;
  /** Blocks by number; a number that is absent is left out of the archive. */
  readonly blocks: ReadonlyMap<number, Buffer>;
}

export interface BuildXvaOptions {
  readonly disks?: readonly BuiltDisk[];
  readonly checksum?: 'xxhash' | 'checksum';
  readonly header?: HeaderKind;
  readonly name?: string;
  /** Extra members of the machine's record, as XML. */
  readonly machineFields?: string;
  /** More objects, as XML. */
  readonly objects?: string;
}

export type HeaderKind = 'v7' | 'ustar' | 'gnu';

const member = (name: string, value: string): string => `<member><name>${name}</name>${value}</member>`;
const text = (value: string): string => `<value>${value}</value>`;
export const struct = (fields: Readonly<Record<string, string>>): string =>
  `<value><struct>${Object.entries(fields)
    .map(([name, value]) => member(name, value))
    .join('')}</struct></value>`;
export const textStruct = (fields: Readonly<Record<string, string>>): string =>
  struct(Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, text(value)])));
export const array = (values: readonly string[]): string =>
  `<value><array><data>${values.join('')}</data></array></value>`;
const bool = (value: boolean): string => `<value><boolean>${value ? '1' : '0'}</boolean></value>`;

export function object(className: string, id: string, snapshot: string): string {
  return struct({ class: text(className), id: text(id), snapshot });
}

/** ova.xml of one machine with the given disks, one interface, one network, one SR, and an empty CD drive. */
export function buildOvaXml(options: BuildXvaOptions): Buffer {
  const { disks = [], name = 'built', machineFields = '', objects = '' } = options;
  const record = struct({
    uuid: text('11111111-0000-4000-8000-000000000001'),
    name_label: text(name),
    power_state: text('Halted'),
    is_a_snapshot: bool(false),
  }).replace('</struct></value>', `${machineFields}</struct></value>`);
  const all = [
    object('VM', 'Ref:1', record),
    object('VBD', 'Ref:2', textStruct({ VM: 'Ref:1', VDI: 'Ref:3', type: 'CD', userdevice: '3' })),
    object(
      'VIF',
      'Ref:4',
      textStruct({ uuid: 'vif', VM: 'Ref:1', network: 'Ref:5', device: '0', MAC: '02:00:00:00:00:01', MTU: '1500' }),
    ),
    object('network', 'Ref:5', textStruct({ uuid: 'net', name_label: 'LAN', bridge: 'xenbr0' })),
    object('SR', 'Ref:6', textStruct({ uuid: 'sr', name_label: 'Local', content_type: 'user' })),
    ...disks.flatMap(({ id, sizeBytes }, index) => [
      object(
        'VDI',
        id,
        textStruct({ uuid: `vdi-${index}`, name_label: `disk ${index}`, virtual_size: String(sizeBytes), SR: 'Ref:6' }),
      ),
      object(
        'VBD',
        `Ref:9${index}`,
        struct({
          VM: text('Ref:1'),
          VDI: text(id),
          type: text('Disk'),
          userdevice: text(String(index)),
          bootable: bool(index === 0),
          mode: text('RW'),
        }),
      ),
    ]),
  ];
  const objectsXml = array(all).replace('</data>', `${objects}</data>`);
  return Buffer.from(struct({ version: textStruct({ export_vsn: '2', xapi_major: '1' }), objects: objectsXml }));
}

/** One tar member: header, body, padding. */
export function tarMember(name: string, body: Buffer, kind: HeaderKind = 'v7', type?: string): Buffer {
  const header = Buffer.alloc(512);
  if (kind === 'ustar' && name.includes('/')) {
    header.write(name.slice(0, name.indexOf('/')), 345, 'latin1');
    header.write(name.slice(name.indexOf('/') + 1), 0, 'latin1');
  } else header.write(name, 0, 'latin1');
  header.write('0000400\0' + '0000000\0' + '0000000\0', 100, 'latin1');
  header.write(`${body.length.toString(8).padStart(11, '0')}\0${'0'.repeat(11)}\0`, 124, 'latin1');
  if (kind === 'ustar') header.write('ustar\x0000', 257, 'latin1');
  if (kind === 'gnu') header.write('ustar  \0', 257, 'latin1');
  header.write(type ?? (kind === 'v7' ? '\0' : '0'), 156, 'latin1');
  return Buffer.concat([resum(header), body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

/** Redoes a header's checksum after a change. */
export function resum(header: Buffer): Buffer {
  header.fill(' ', 148, 156);
  const sum = header.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

export async function blockMembers(
  name: string,
  body: Buffer,
  checksum: 'xxhash' | 'checksum',
  kind: HeaderKind = 'v7',
): Promise<Buffer[]> {
  const digest =
    checksum === 'xxhash' ? (await xxhash64(body)).toUpperCase() : createHash('sha1').update(body).digest('hex');
  return [tarMember(name, body, kind), tarMember(`${name}.${checksum}`, Buffer.from(digest), kind)];
}

export const END = Buffer.alloc(1024);

/** A whole archive as a list of members, so that a spec can take one out, change it or put one in. */
export async function buildXvaMembers(options: BuildXvaOptions = {}): Promise<Buffer[]> {
  const { disks = [], checksum = 'xxhash', header = 'v7' } = options;
  const members = [tarMember('ova.xml', buildOvaXml(options), header)];
  for (const disk of [...disks].sort((left, right) => (left.id < right.id ? -1 : 1))) {
    for (const [number, body] of disk.blocks) {
      members.push(...(await blockMembers(`${disk.id}/${String(number).padStart(8, '0')}`, body, checksum, header)));
    }
  }
  return [...members, END];
}

export async function buildXva(options: BuildXvaOptions = {}): Promise<Buffer> {
  return Buffer.concat(await buildXvaMembers(options));
}

/** A disk whose blocks have the lengths given and a content that follows from id and number. */
export function builtDisk(id: string, sizeBytes: number, blocks: Readonly<Record<number, number>>): BuiltDisk {
  const content = Object.entries(blocks).map(([number, length]): [number, Buffer] => [
    Number(number),
    Buffer.alloc(length, `${id}.${number}.`),
  ]);
  return { id, sizeBytes, blocks: new Map(content) };
}
