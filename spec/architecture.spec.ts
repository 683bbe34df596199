import { expect } from 'chai';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import { packageRoot } from '../src/common/package-root.js';

interface CruiserConfig {
  readonly forbidden: readonly { readonly name: string }[];
  readonly options: object;
}

const loadConfig = (): CruiserConfig =>
  createRequire(import.meta.url)(join(packageRoot(), '.dependency-cruiser.cjs')) as CruiserConfig;

async function look(): Promise<ICruiseResult> {
  const { forbidden, options } = loadConfig();
  const before = process.cwd();
  process.chdir(packageRoot());
  try {
    const { output } = await cruise(['src'], {
      ...options,
      ruleSet: { forbidden: [...forbidden] },
      validate: true,
    } as Parameters<typeof cruise>[1]);
    return output as ICruiseResult;
  } finally {
    process.chdir(before);
  }
}

describe('architecture', function () {
  this.timeout(60_000);
  let result: ICruiseResult;

  before(async () => {
    result = await look();
  });

  it('keeps to the table of who may import whom', () => {
    const found = result.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`);
    expect(found).to.deep.equal([]);
  });

  it('looked at every folder, and at enough files to mean something', () => {
    const own = result.modules.map(({ source }) => source).filter((path) => path.startsWith('src/'));
    expect(own.length).to.be.greaterThan(80);
    for (const { name } of loadConfig().forbidden) {
      if (!name.startsWith('layer-')) continue;
      const folder = `src/${name.slice('layer-'.length)}/`;
      expect(
        own.some((path) => path.startsWith(folder)),
        folder,
      ).to.equal(true);
    }
  });

  it('sees imports of types as well', () => {
    const connection = result.modules.find(({ source }) => source === 'src/session/pool-connection.ts');
    expect(connection?.dependencies.map(({ resolved }) => resolved)).to.include('src/xapi/xapi-records.ts');
  });
});
