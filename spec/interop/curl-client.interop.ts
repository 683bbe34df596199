import { expect } from 'chai';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSimulatedPool, type RunningPool } from '../../src/simulator/index.js';
import { textOf } from '../../src/simulator/wire/wire-value.js';
import { run, runWell } from './programs.js';

describe('curl, as xe uses the handlers', () => {
  let pool: RunningPool;
  let folder: string;
  let archive: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'interop-curl-'));
    archive = join(folder, 'twin.xva');
    pool = await startSimulatedPool();
  });
  afterEach(async () => {
    await pool.close();
    await rm(folder, { recursive: true });
  });

  const login = (): string => `${pool.username}:${pool.password}`;
  const uuidOf = (name: string): string =>
    textOf(pool.pool.store.all('VM').find(([, record]) => record.name_label === name)?.[1] ?? {}, 'uuid');
  const machines = (name: string): number =>
    pool.pool.store.all('VM').filter(([, record]) => record.name_label === name).length;
  const defaultSr = (): string => textOf(pool.pool.poolEntry[1], 'default_SR');

  for (const scheme of ['http', 'https'] as const) {
    it(`exports by HTTP/1.0 and imports with Expect: 100-continue and Basic auth, over ${scheme}`, async () => {
      const url = scheme === 'http' ? pool.httpUrl : pool.url;
      await runWell('curl', [
        ...['-sSk', '--fail', '--http1.0', '-u', login(), '-o', archive],
        `${url}/export?uuid=${uuidOf('twin')}`,
      ]);
      expect((await stat(archive)).size).to.be.greaterThan(8_000_000);
      const before = machines('twin');
      await runWell('curl', [
        ...['-sSk', '--fail', '-u', login(), '-H', 'Expect: 100-continue', '--expect100-timeout', '0.2'],
        ...['-T', archive, `${url}/import?sr_id=${defaultSr()}`],
      ]);
      await runWell('curl', [
        ...['-sSk', '--fail', '--http1.0', '-u', login(), '-T', archive],
        `${url}/import?sr_id=${defaultSr()}`,
      ]);
      expect(machines('twin')).to.equal(before + 2);
    });
  }

  it('is sent on to the host that sees the storage', async () => {
    const { code, stdout } = await run('curl', [
      ...['-sk', '-u', login(), '-o', join(folder, 'nothing'), '-w', '%{http_code} %{redirect_url}'],
      `${pool.url}/export?uuid=${uuidOf('db-01')}`,
    ]);
    expect(code).to.equal(0);
    expect(stdout).to.match(new RegExp(`^302 https://${pool.hosts[1]?.address ?? ''}`));
    await runWell('curl', [
      ...['-sSk', '--fail', '--location-trusted', '-u', login(), '-o', archive],
      `${pool.url}/export?uuid=${uuidOf('db-01')}`,
    ]);
    expect((await stat(archive)).size).to.be.greaterThan(20_000_000);
  });

  it('is refused without credentials, with the name of the handler', async () => {
    const { stdout } = await run('curl', [
      ...['-sk', '-D', '-', '-o', join(folder, 'nothing')],
      `${pool.url}/export?uuid=${uuidOf('twin')}`,
    ]);
    expect(stdout).to.contain('401 Unauthorised').and.contain('Basic realm="get_export"');
  });
});
