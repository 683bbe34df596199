import { expect } from 'chai';
import { type RestorePlan } from '../../../src/contract/index.js';
import { CliOutput } from '../../../src/host/cli/cli-output.js';
import { sayPlan } from '../../../src/host/cli/plan-view.js';
import { Redactor } from '../../../src/host/redaction.js';
import { CapturedStream } from '../support/captured-stream.js';

const plan: RestorePlan = {
  mode: 'overwrite',
  targetName: 'web',
  targetId: 'm1',
  storage: { id: 's', name: 'Main', freeBytes: 2 ** 30, neededBytes: 2 ** 20 },
  disks: [
    {
      position: '0',
      name: 'root',
      sizeBytes: 2 ** 30,
      fromStorage: 'Old',
      toStorage: 'Main',
      replaces: '"root" (1.0 GiB)',
    },
    { position: '1', name: 'data\u001b[2J', sizeBytes: 2 ** 20, fromStorage: 'Main', toStorage: 'Main' },
  ],
  interfaces: [
    { position: '0', fromNetwork: 'Production', toNetwork: 'Lab', fromAddress: 'aa', toAddress: 'aa' },
    { position: '1', fromNetwork: 'Lab', toNetwork: 'Lab', fromAddress: 'bb' },
  ],
  changes: [
    { what: 'memory', from: '1.0 GiB', to: '2.0 GiB' },
    { what: 'tags', from: 'nightly' },
  ],
  steps: [{ action: 'swap', description: 'Swap.', isDestructive: true }],
  warnings: [{ code: 'W', message: 'Mind this.' }],
};

function said(shown: RestorePlan): readonly string[] {
  const out = new CapturedStream();
  const options = { out, err: out, environment: {}, isJson: false, isDebug: false, redactor: new Redactor() };
  sayPlan(new CliOutput(options), shown);
  return out.lines;
}

describe('sayPlan', () => {
  it('says no free room that nobody knows', () => {
    const shown = said({ ...plan, storage: { id: 's', name: 'Main', neededBytes: 2 ** 20 } });
    expect(shown).to.include('Storage: Main (1.0 MiB needed)');
  });

  it('says storage, disks, interfaces, changes, steps and warnings', () => {
    expect(said(plan)).to.deep.equal([
      'Overwrite: web (m1)',
      'Storage: Main (1.0 MiB needed, 1.0 GiB free)',
      '',
      'DISK  NAME         SIZE  STORAGE      REPLACES',
      '0     root      1.0 GiB  Old -> Main  "root" (1.0 GiB)',
      '1     data\ufffd[2J  1.0 MiB  Main         -',
      '',
      'INTERFACE  NETWORK            MAC ADDRESS',
      '0          Production -> Lab  aa',
      '1          Lab                bb -> a new address',
      '',
      'CHANGES  NOW -> AFTERWARDS',
      'memory   1.0 GiB -> 2.0 GiB',
      'tags     nightly -> (none)',
      '',
      ' 1. Swap. [replaces what is there]',
      'warning W: Mind this.',
    ]);
  });

  it('says it when nothing changes', () => {
    const lines = said({ ...plan, disks: [], interfaces: [], changes: [], warnings: [] });
    expect(lines.slice(3)).to.deep.equal(['No setting will change.', '', ' 1. Swap. [replaces what is there]']);
  });
});
