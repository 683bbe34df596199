import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB } from '../../src/common/byte-size.js';
import { MACHINES } from '../pool-data.js';
import { type NbdOrder } from '../nbd-order.js';
import { NBD_MOVER, runNode } from '../programs.js';
import { type Target, wallRow } from '../rows.js';
import { type Scenario } from '../scenario.js';
import { type Workbench } from '../workbench.js';

const NBD: Target = {
  name: 'NBD over TLS, a whole disk; against nbdcopy, one connection each',
  unit: 'ms',
  target: 1.1,
  targetOf: 'ratio',
};

interface NbdInfo {
  readonly exportname: string;
  readonly address: string;
  readonly port: number;
  readonly cert: string;
  readonly subject: string;
}

export const nbdWholeDisk: Scenario = {
  title: 'NBD over TLS',
  needs: ['nbdcopy'],
  targets: [NBD],
  prepare: async (bench) => {
    const { exportname, address, port, cert, subject } = await nbdInfoOf(bench, MACHINES.nbd);
    const trust = join(bench.folder, 'nbd-trust');
    await mkdir(trust, { recursive: true });
    await writeFile(join(trust, 'ca-cert.pem'), cert);
    const place = `${address}:${port}/${encodeURIComponent(exportname)}`;
    const uri = `nbds://${place}?tls-certificates=${encodeURIComponent(trust)}`;
    const sizeBytes = bench.sizes.nbdMiB * MIB;
    const order: NbdOrder = { host: address, port, exportName: exportname, certificatePem: cert, subject, sizeBytes };
    return {
      contestants: {
        ours: () => runNode([NBD_MOVER], { ...bench.run, stdin: JSON.stringify(order) }),
        nbdcopy: () => bench.shell(`nbdcopy --connections=1 '${uri}' null:`),
      },
      rows: ({ ours = [], nbdcopy = [] }) => [
        wallRow(NBD, ours, nbdcopy, {
          gib: bench.sizes.nbdMiB / 1024,
          note: 'XAPI does not announce multi-conn, so nbdcopy uses one connection; so do we, where there is no latency',
        }),
      ],
    };
  },
};

async function nbdInfoOf(bench: Workbench, machine: string): Promise<NbdInfo> {
  const vm = await bench.call('VM.get_by_uuid', [machine]);
  const [vbd] = (await bench.call('VM.get_VBDs', [vm])) as readonly string[];
  const disk = await bench.call('VBD.get_VDI', [vbd]);
  const snapshot = await bench.call('VDI.snapshot', [disk, {}]);
  const [info] = (await bench.call('VDI.get_nbd_info', [snapshot])) as readonly NbdInfo[];
  return info!;
}
