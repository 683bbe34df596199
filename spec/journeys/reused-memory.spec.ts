import { createHash } from 'node:crypto';
import { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { type BackupSink, type SavesetRecord } from '../../src/contract/index.js';
import { reportOf } from '../contract/support/run-operation.js';
import { startXenWorld, type XenWorld } from './support/xen-world.js';

const LARGE_MIB = 64;

/** A medium that reads what it was given late, just before it calls back. */
class LateSink implements BackupSink {
  readonly maxOpenItems = 1;
  readonly keepsNoBuffers: boolean;
  /** The memory that the data of an item came in. */
  readonly memory = new Map<string, Set<ArrayBufferLike>>();
  readonly sha256 = new Map<string, string>();

  constructor(keepsNoBuffers: boolean) {
    this.keepsNoBuffers = keepsNoBuffers;
  }

  openItem({ name }: { readonly name: string }): Promise<Writable> {
    const memory = new Set<ArrayBufferLike>();
    this.memory.set(name, memory);
    const digest = createHash('sha256');
    const take = async (piece: Buffer): Promise<void> => {
      memory.add(piece.buffer);
      for (let turns = 0; turns < 5; turns += 1) await turn();
      digest.update(piece);
    };
    const stream = new Writable({
      highWaterMark: 4 * 1024 * 1024,
      write: (piece: Buffer, _encoding, done) => {
        void take(piece).then(() => {
          done();
        });
      },
      final: (done) => {
        this.sha256.set(name, digest.digest('hex'));
        done();
      },
    });
    return Promise.resolve(stream);
  }
}

describe('journey: memory that is used again', () => {
  let world: XenWorld;

  beforeEach(async () => {
    world = await startXenWorld({
      poolFile: {
        name: 'Spec pool',
        hosts: [{ name: 'host-a' }],
        networks: [{ name: 'Management', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
        storage: [{ name: 'Main', type: 'nfs', sizeGiB: 4, isDefault: true }],
        vms: [
          {
            name: 'large',
            powerState: 'Running',
            disks: [{ name: 'large disk', sizeMiB: LARGE_MIB, content: { kind: 'random', seed: 1 } }],
          },
        ],
      },
      settings: { dataTransport: 'http' },
    });
  });

  afterEach(() => world.close());

  const saved = async (sink: LateSink, options: Readonly<Record<string, string>>): Promise<SavesetRecord> => {
    const request = { source: 'vm/large', savesetId: 'large', options };
    const { record } = await reportOf(world.source.backup(request, sink));
    for (const { name, sha256 } of record.items) expect(sink.sha256.get(name), name).to.equal(sha256);
    return record;
  };

  for (const format of ['xva', 'disks']) {
    for (const [transport, option] of [
      ['http', {}],
      ['https', { http: 'https' }],
    ] as const) {
      it(`is not changed before the medium has done with it: ${format} over ${transport}`, async () => {
        const sink = new LateSink(true);
        const { items } = await saved(sink, { format, ...option });
        const largest = items.toSorted((a, b) => b.bytes - a.bytes)[0]!;
        expect(largest.bytes).to.be.above(LARGE_MIB * 1024 * 1024);
        expect(sink.memory.get(largest.name)!.size, 'blocks').to.be.at.most(LARGE_MIB / 2);
      });
    }

    it(`is none that a medium may keep: ${format}`, async () => {
      const sink = new LateSink(false);
      const { items } = await saved(sink, { format });
      const largest = items.toSorted((a, b) => b.bytes - a.bytes)[0]!;
      expect(sink.memory.get(largest.name)!.size, 'blocks').to.be.at.least(LARGE_MIB);
    });
  }
});
