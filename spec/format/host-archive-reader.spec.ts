import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import fc from 'fast-check';
import { FormatError } from '../../src/format/format-error.js';
import { HostArchiveReader, type HostArchiveSummary } from '../../src/format/host-archive-reader.js';

interface Member {
  readonly name: string;
  readonly type?: string;
  readonly content?: Buffer;
  /** What the size field says; default: the length of the content. */
  readonly sizeField?: string | Buffer;
  /** GNU's sparse map goes on in so many blocks. */
  readonly mapBlocks?: number;
}

const HOST = 'b5cb0f7e-6d9a-4d1c-9b6e-1f6c2f6f4c11';
const INVENTORY = Buffer.from(`PRODUCT_BRAND='XCP-ng'\nPRODUCT_VERSION='8.3.0'\nINSTALLATION_UUID='${HOST}'\n`);
const inventory: Member = { name: './etc/xensource-inventory', content: INVENTORY };
const PAGE =
  'HTTP/1.1 500 Internal Error\r\n\r\n<html><body><h1>Additional information</h1>BACKUP_SCRIPT_FAILED: [ disk full ]</body></html>';

function memberBytes({ name, type = '0', content = Buffer.alloc(0), sizeField, mapBlocks = 0 }: Member): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  const size = sizeField ?? `${content.length.toString(8).padStart(11, '0')}\0`;
  if (typeof size === 'string') header.write(size, 124);
  else size.copy(header, 124);
  header.write(type, 156);
  header.write('ustar  \0', 257);
  if (mapBlocks > 0) header[482] = 1;
  const sum = header.reduce((total, byte) => total + byte, 8 * 0x20);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const maps = Array.from({ length: mapBlocks }, (_, index) => {
    const map = Buffer.alloc(512, 0x31);
    map[504] = index + 1 < mapBlocks ? 1 : 0;
    return map;
  });
  return Buffer.concat([header, ...maps, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

function tarOf(members: readonly Member[], end = Buffer.alloc(10 * 512)): Buffer {
  return Buffer.concat([...members.map(memberBytes), end]);
}

async function read(bytes: Buffer, pieceBytes = bytes.length): Promise<HostArchiveSummary> {
  const reader = new HostArchiveReader();
  try {
    for (let at = 0; at < bytes.length; at += pieceBytes) await reader.push(bytes.subarray(at, at + pieceBytes));
    return await reader.end();
  } finally {
    reader.destroy();
  }
}

async function damageOf(bytes: Buffer, pieceBytes?: number): Promise<FormatError> {
  const outcome: unknown = await read(bytes, pieceBytes).catch((error: unknown) => error);
  expect(outcome).to.be.instanceOf(FormatError);
  return outcome as FormatError;
}

describe('HostArchiveReader', () => {
  const everything: readonly Member[] = [
    { name: './', type: '5' },
    { name: '././@LongLink', type: 'L', content: Buffer.from(`./var/${'long/'.repeat(40)}name\0`) },
    { name: './var/long', content: Buffer.alloc(700, 1) },
    { name: './var/link', type: '2' },
    { name: './dev/null', type: '3', sizeField: '00000001000\0' },
    { name: './var/sparse', type: 'S', content: Buffer.alloc(1024, 2), mapBlocks: 2 },
    { name: './var/big', content: Buffer.alloc(512, 3), sizeField: Buffer.from('800000000000000000000200', 'hex') },
    inventory,
    { ...inventory, content: Buffer.from('second') },
  ];

  it('walks over everything that GNU tar writes and says whose it is', async () => {
    const tar = tarOf(everything);
    const bytes = gzipSync(tar);
    expect(await read(bytes)).to.deep.equal({
      bytes: bytes.length,
      unpackedBytes: tar.length,
      members: 8,
      hostId: HOST,
      productVersion: '8.3.0',
    });
  });

  it('finds the same however the data is cut into pieces', async () => {
    const bytes = gzipSync(tarOf(everything));
    const expected = await read(bytes);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: bytes.length }), async (pieceBytes) => {
        expect(await read(bytes, pieceBytes)).to.deep.equal(expected);
      }),
    );
  });

  it('notices wherever an archive breaks off', async () => {
    const bytes = gzipSync(tarOf(everything));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: bytes.length - 1 }), async (length) => {
        await damageOf(bytes.subarray(0, length), 100);
      }),
    );
  });

  it('notices every flipped bit of the content', async () => {
    const bytes = gzipSync(tarOf(everything));
    const expected = await read(bytes);
    await fc.assert(
      // The ten bytes of gzip's own header have no checksum.
      fc.asyncProperty(
        fc.integer({ min: 10, max: bytes.length - 1 }),
        fc.integer({ min: 0, max: 7 }),
        async (at, bit) => {
          const flipped = Buffer.from(bytes);
          flipped[at]! ^= 1 << bit;
          const outcome: unknown = await read(flipped).catch((error: unknown) => error);
          // A few bits between gzip's blocks mean nothing.
          if (!(outcome instanceof FormatError)) expect(outcome).to.deep.equal(expected);
        },
      ),
    );
  });

  it('finds the pool’s error page at the start, in the middle and behind the end', async () => {
    const bytes = gzipSync(tarOf(everything));
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: bytes.length }),
        fc.integer({ min: 1, max: 999 }),
        async (at, piece) => {
          const { xapiError } = await damageOf(Buffer.concat([bytes.subarray(0, at), Buffer.from(PAGE)]), piece);
          expect(xapiError).to.deep.equal({ code: 'BACKUP_SCRIPT_FAILED', params: ['disk full'] });
        },
      ),
    );
  });

  const spoilt = memberBytes(inventory);
  spoilt[0]! ^= 1;
  const damages: readonly (readonly [string, Buffer])[] = [
    ['an empty answer', Buffer.alloc(0)],
    ['a tar without compression', tarOf([inventory])],
    ['an empty archive', gzipSync(tarOf([]))],
    ['an archive without inventory', gzipSync(tarOf([{ name: './etc/hostname', content: Buffer.from('x') }]))],
    ['an inventory that says nothing', gzipSync(tarOf([{ ...inventory, content: Buffer.from('A=1\n') }]))],
    ['a header that does not match its checksum', gzipSync(Buffer.concat([spoilt, Buffer.alloc(1024)]))],
    ['a tar that is not closed', gzipSync(tarOf([inventory], Buffer.alloc(0)))],
    ['a tar that is half closed', gzipSync(tarOf([inventory], Buffer.alloc(512)))],
    ['data after the end', gzipSync(tarOf([inventory], Buffer.concat([Buffer.alloc(1024), memberBytes(inventory)])))],
    ['a size that is none', gzipSync(tarOf([{ ...inventory, sizeField: 'many\0' }]))],
  ];
  for (const [what, bytes] of damages) {
    it(`refuses ${what}`, async () => {
      expect((await damageOf(bytes)).xapiError).to.equal(undefined);
    });
  }
});
