import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { PassThrough } from 'node:stream';
import { type OpenedItem, parseSavesetRecord, type RestoreMedia } from '../../src/contract/index.js';
import { VhdReader } from '../../src/format/vhd-reader.js';
import { readSavedDisk } from '../../src/restore/disk-reader.js';
import { expectCode, rejectionOf } from '../contract/support/run-operation.js';
import { savesetRecord } from '../contract/support/saveset-record.js';
import { builtDisk, buildXva, MIB } from '../support/xva-builder.js';

const ITEM = 'vm.xva';

describe('readSavedDisk', () => {
  let xva: Buffer;

  before(async () => {
    xva = await buildXva({
      disks: [builtDisk('Ref:7', 3 * MIB, { 0: MIB, 2: MIB }), builtDisk('Ref:8', 4 * MIB, { 0: MIB, 1: MIB, 3: MIB })],
    });
  });

  /** Media that hold the archive, as it is or damaged. */
  function mediaOf(bytes: Buffer = xva, opened: string[] = []): RestoreMedia {
    const disk = (position: string, sizeBytes: number): object => ({
      id: `uuid-${position}`,
      name: `disk ${position}`,
      position,
      sizeBytes,
      level: 'full',
      reason: 'POLICY',
      item: ITEM,
    });
    const item = {
      name: ITEM,
      kind: 'machine-archive',
      mediaType: 'application/x-xva',
      bytes: xva.length,
      sha256: createHash('sha256').update(xva).digest('hex'),
    };
    const record = parseSavesetRecord({
      ...savesetRecord(),
      items: [item],
      disks: [disk('0', 3 * MIB), disk('1', 4 * MIB)],
    });
    return {
      record,
      openItem: (name): Promise<OpenedItem> => {
        opened.push(name);
        const stream = new PassThrough();
        stream.end(bytes);
        return Promise.resolve({ stream, bytes: bytes.length });
      },
    };
  }

  /** The disk as the archive has it. */
  function expected(disk: number): Buffer {
    const sizes = [3, 4];
    const { blocks } =
      disk === 0
        ? builtDisk('Ref:7', 3 * MIB, { 0: MIB, 2: MIB })
        : builtDisk('Ref:8', 4 * MIB, { 0: MIB, 1: MIB, 3: MIB });
    const bytes = Buffer.alloc(sizes[disk]! * MIB);
    for (const [number, data] of blocks) data.copy(bytes, number * MIB);
    return bytes;
  }

  for (const [wanted, disk] of [
    ['0', 0],
    ['1', 1],
    ['disk 1', 1],
    ['uuid-0', 0],
  ] as const) {
    it(`gives the disk "${wanted}" as its bytes, with zeroes where the archive has none`, async () => {
      const { stream, bytes } = await readSavedDisk({ disk: wanted, format: 'raw' }, mediaOf());
      const found = await buffer(stream);
      expect(found.length).to.equal(bytes);
      expect(found.equals(expected(disk))).to.equal(true);
    });
  }

  it('gives a VHD of what the archive holds, by reading it twice', async () => {
    const opened: string[] = [];
    const { stream, bytes } = await readSavedDisk({ disk: '1', format: 'vhd' }, mediaOf(xva, opened));
    const vhd = await buffer(stream);
    expect(vhd.length).to.equal(bytes);
    expect(opened).to.deep.equal([ITEM, ITEM]);
    const reader = new VhdReader();
    reader.push(vhd);
    reader.end();
    expect(vhd.length).to.be.lessThan(4 * MIB + 64 * 1024);
  });

  for (const [what, damage] of [
    [
      'a flipped bit in the other disk',
      (bytes: Buffer): Buffer => Object.assign(Buffer.from(bytes), { [5 * MIB]: bytes[5 * MIB]! ^ 1 }),
    ],
    ['a missing end', (bytes: Buffer): Buffer => bytes.subarray(0, bytes.length - 2000)],
  ] as const) {
    it(`does not end well with ${what}`, async () => {
      for (const format of ['raw', 'vhd'] as const) {
        const work = readSavedDisk({ disk: '0', format }, mediaOf(damage(xva))).then(({ stream }) => buffer(stream));
        await expectCode(work, 'DATA_DAMAGED');
      }
    });
  }

  it('is cancelled by its signal', async () => {
    const abort = new AbortController();
    const { stream } = await readSavedDisk({ disk: '0', format: 'raw', signal: abort.signal }, mediaOf());
    abort.abort();
    expect((await rejectionOf(buffer(stream))).code).to.equal('CANCELLED');
  });

  it('refuses a disk that the saveset does not have, and names those that it has', async () => {
    const { context } = await expectCode(readSavedDisk({ disk: '7', format: 'raw' }, mediaOf()), 'REQUEST_INVALID');
    expect(context.candidates).to.deep.equal(['0 "disk 0" (uuid-0)', '1 "disk 1" (uuid-1)']);
  });

  it('refuses a record that does not fit its archive, and a form that it does not know', async () => {
    const media = mediaOf();
    const [first, ...others] = media.record.disks;
    const other = { ...media.record, disks: [{ ...first!, sizeBytes: MIB }, ...others] };
    const work = readSavedDisk({ disk: '0', format: 'raw' }, { ...media, record: other });
    await expectCode(
      work.then(({ stream }) => buffer(stream)),
      'SAVESET_INVALID',
    );
    const items = media.record.items.map((item) => ({ ...item, mediaType: 'application/x-other' }));
    const unknown = { ...media, record: { ...media.record, items } };
    await expectCode(readSavedDisk({ disk: '0', format: 'raw' }, unknown), 'OBJECT_NOT_SUPPORTED');
    await expectCode(readSavedDisk({ disk: '0', format: 'qcow2' }, media), 'REQUEST_INVALID');
  });
});
