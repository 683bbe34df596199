import { expect } from 'chai';
import { type RestoreReport, type RestoreRequest, type SavesetRecord } from '../../src/contract/index.js';
import { type Fault } from '../../src/simulator/index.js';
import { type RecordingSink } from '../contract/support/recording-sink.js';
import { reportOf } from '../contract/support/run-operation.js';
import { DIES, type Machine, MOMENTS, startFailoverWorld, WEB } from './support/failover-world.js';
import { type XenWorld } from './support/xen-world.js';

const SECOND = { name: 'Second', type: 'nfs', sizeGiB: 1 } as const;
const MACHINES: Machine[] = [
  {
    ...WEB,
    cdDrive: 'empty',
    disks: [...WEB.disks!, { name: 'data', sizeMiB: 2, storage: SECOND.name, content: { kind: 'text', seed: 2 } }],
    otherConfig: { owner: 'sales' },
  },
  { name: 'holder', memoryMiB: 64, powerState: 'Running', host: 'host-b', disks: [], interfaces: [] },
];

describe('journey: the coordinator goes in the middle of a restore', function () {
  this.timeout(120_000);
  let world: XenWorld;
  let uuid: string;
  let record: SavesetRecord;
  let sink: RecordingSink;
  let saved: Readonly<Record<string, string>>;

  beforeEach(async () => {
    world = await startFailoverWorld(MACHINES, [SECOND]);
    uuid = world.uuidOf('web');
    ({ record, sink } = await world.backup('vm/web'));
    saved = world.disksOf(uuid);
  });

  afterEach(() => world.close());

  const restore = async (
    request: RestoreRequest,
    match: Fault['match'],
    action: Fault['action'],
  ): Promise<RestoreReport> => {
    world.running.addFault({ match, occurrence: 1, action });
    const report = await reportOf(world.source.restore(request, sink.media(record)));
    expect(report.warnings.map(({ code }) => code)).to.deep.equal(['COORDINATOR_CHANGED']);
    return report;
  };
  const count = (cls: string): number => world.running.pool.store.all(cls).length;
  const marked = (): readonly unknown[] =>
    ['VM', 'VDI'].flatMap((cls) =>
      world.running.pool.store
        .all(cls)
        .filter(([, { other_config: config }]) => Object.keys(config as object).some((key) => key.startsWith('xen-')))
        .map(([, { name_label: name }]) => name),
    );

  for (const [when, action] of MOMENTS) {
    for (const call of ['SR.scan', 'VDI.copy', 'VBD.destroy', 'VBD.create']) {
      it(`makes a machine whose disks go to two storages when it dies ${when} ${call}`, async () => {
        const [disks, drives] = [count('VDI'), count('VBD')];
        const { targetId } = await restore({ mode: 'new', name: 'copy' }, { call }, action);
        expect(world.disksOf(targetId!)).to.deep.equal(saved);
        expect([count('VDI') - disks, count('VBD') - drives]).to.deep.equal([2, 3]);
        expect(marked()).to.deep.equal([]);
      });
    }

    for (const call of [
      'VM.hard_shutdown',
      'VBD.destroy',
      'VBD.create',
      'VIF.destroy',
      'VIF.create',
      'VM.set_name_label',
      'VM.add_to_other_config',
      'VM.start',
    ]) {
      it(`brings an existing machine back when it dies ${when} ${call}`, async () => {
        world.scribble(uuid);
        world.patch('VM', uuid, { name_label: 'renamed', other_config: { owner: 'nobody' } });
        const [interface_] = world.field('VM', uuid, 'VIFs') as string[];
        world.running.pool.store.patch('VIF', interface_!, { MTU: 9000 });
        const [machines, disks] = [count('VM'), count('VDI')];
        const { targetId, isRunning } = await restore(
          { mode: 'overwrite', startAfter: true, options: { stop: 'hard' } },
          { call },
          action,
        );
        expect({ targetId, isRunning }).to.deep.equal({ targetId: uuid, isRunning: true });
        expect(world.disksOf(uuid)).to.deep.equal(saved);
        expect(world.field('VM', uuid, 'name_label')).to.equal('web');
        expect(world.field('VM', uuid, 'other_config')).to.deep.include({ owner: 'sales' });
        expect(world.field('VM', uuid, 'VIFs')).to.have.length(1);
        expect([count('VM'), count('VDI')]).to.deep.equal([machines, disks]);
        expect(marked()).to.deep.equal([]);
      });
    }

    for (const call of ['VDI.create', 'VBD.create', 'VBD.plug', 'VDI.set_name_label']) {
      it(`gives one disk to a machine when it dies ${when} ${call}`, async () => {
        const [disks, drives] = [count('VDI'), count('VBD')];
        const request = { mode: 'disk', disk: '0', name: 'one disk', attachTo: 'holder' } as const;
        await restore(request, { call }, action);
        expect(Object.values(world.disksOf(world.uuidOf('holder')))).to.deep.equal([saved['0']]);
        expect([count('VDI') - disks, count('VBD') - drives]).to.deep.equal([1, 1]);
        expect(marked()).to.deep.equal([]);
      });
    }
  }

  for (const atByte of [0, 1_000_000]) {
    it(`sends the data of one disk anew when it dies at byte ${atByte}`, async () => {
      const disks = count('VDI');
      const match = { path: '/import_raw_vdi', method: 'PUT' } as const;
      const { targetId } = await restore({ mode: 'disk', disk: '0', name: 'one' }, match, { ...DIES, atByte });
      const { store, contents } = world.running.pool;
      const [web] = world.field('VM', uuid, 'VBDs') as string[];
      const original = contents.get(store.get('VBD', web!).VDI as string)!;
      const copy = contents.get(store.refByUuid('VDI', targetId!))!;
      expect(copy.read(0, copy.sizeBytes).equals(original.read(0, original.sizeBytes))).to.equal(true);
      expect(count('VDI')).to.equal(disks + 1);
      expect(marked()).to.deep.equal([]);
    });
  }
});
