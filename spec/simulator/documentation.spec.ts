import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { packageRoot } from '../../src/common/package-root.js';
import { OPERATIONS } from '../../src/simulator/control/operations.js';
import { FAULT_ACTIONS, faultsJsonSchema, readFaults } from '../../src/simulator/faults.js';
import { readPoolDefinition, RELEASE_NAMES } from '../../src/simulator/index.js';
import { poolDefinitionSchema } from '../../src/simulator/pool-definition.js';

const page = (name = 'simulator.md'): string => readFileSync(join(packageRoot(), 'docs', name), 'utf8');
const section = (heading: string): string =>
  page()
    .split(/^(?=##+ )/m)
    .find((part) => part.startsWith(heading)) ?? '';

/** The cells of the rows of the tables under a heading, the first one without back-ticks. */
function rowsOf(heading: string): readonly (readonly string[])[] {
  return [...section(heading).matchAll(/^\| `([^`]+)` \|(.*)\|$/gm)].map(([, first = '', rest = '']) => [
    first,
    ...rest.split(' | ').map((cell) => cell.trim()),
  ]);
}
const firstCells = (heading: string): readonly string[] => rowsOf(heading).map(([first = '']) => first);

/** The code blocks of a language. */
const blocks = (language: string): readonly string[] =>
  [...page().matchAll(/^```(\w+)[^\n]*\n(.*?)^```$/gms)]
    .filter(([, info]) => info === language)
    .map(([, , text = '']) => text);

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
}

/** Every key that an object may have, at any depth, lists marked with `[]`. */
function keysOf({ properties = {} }: JsonSchema, prefix = ''): readonly string[] {
  return Object.entries(properties).flatMap(([name, value]) => {
    const isListOfObjects = value.items?.properties !== undefined;
    const path = `${prefix}${name}${isListOfObjects ? '[]' : ''}`;
    return [path, ...keysOf(isListOfObjects ? (value.items ?? {}) : value, `${path}.`)];
  });
}

describe('docs/simulator.md', () => {
  it('has a row for every key of a pool file, and no other', () => {
    const known = keysOf(z.toJSONSchema(poolDefinitionSchema, { io: 'input' }) as JsonSchema);
    expect(known.length).to.be.greaterThan(100);
    expect(firstCells('## Pool file')).to.have.members([...known]);
  });

  it('has a row for every fault, with what it is of', () => {
    const known = Object.entries(FAULT_ACTIONS).map(([name, { on }]) => [name, on.join(', ')]);
    expect(rowsOf('## Faults').map(([name, on]) => [name, on])).to.have.deep.members(known);
  });

  it('comes with the JSON Schema of faults', () => {
    expect(JSON.parse(page('simulator-faults.schema.json'))).to.deep.equal(faultsJsonSchema());
  });

  it('has a row for every operation of the control port, with its keys', () => {
    const known = Object.entries(OPERATIONS).map(([name, { summary }]) => [name, summary]);
    const rows = rowsOf('## Control port');
    expect(rows.map(([name, , summary]) => [name, summary])).to.have.deep.members(known);
    for (const [name = '', inputs = ''] of rows) {
      if (name === 'setTimings') continue;
      const schema = z.toJSONSchema(OPERATIONS[name]?.input ?? z.never(), { unrepresentable: 'any', io: 'input' });
      const top = (schema as JsonSchema).properties ?? {};
      const told = [...inputs.replace(/\{.*?\}/g, '').matchAll(/`(\w+)`/g)].map(([, key = '']) => key);
      expect(told, name).to.have.members(Object.keys(top));
    }
  });

  it('names every release, and options that the command knows', () => {
    for (const name of RELEASE_NAMES) expect(section('## Releases')).to.include(`\`${name}\``);
    const command = readFileSync(join(packageRoot(), 'src', 'host', 'cli', 'simulate-command.ts'), 'utf8');
    const defined = [...command.matchAll(/\.option\(\s*'(--[\w-]+)/g)].map(([, flag = '']) => flag);
    const told = [...page().matchAll(/`(--[\w-]+)`/g)].map(([, flag = '']) => flag);
    expect(defined.filter((flag) => flag !== '--debug' && !told.includes(flag))).to.deep.equal([]);
    expect(told.filter((flag) => !defined.includes(flag))).to.deep.equal([]);
  });

  it('shows faults that can be read, and pool files that can be, too', () => {
    const [faults = ''] = blocks('json');
    expect(readFaults(JSON.parse(faults), 'docs')).to.have.lengthOf.greaterThan(3);
    const folder = join(packageRoot(), 'fixtures', 'pools');
    for (const name of readdirSync(folder)) {
      expect(readPoolDefinition(join('fixtures', 'pools', name)).hosts, name).to.have.lengthOf.greaterThan(0);
    }
  });

  it('shows a program that runs', async () => {
    const [program = ''] = blocks('js');
    const folder = mkdtempSync(join(tmpdir(), 'simulator-docs-'));
    try {
      const library = new URL('../../src/simulator/index.js', import.meta.url).href;
      const path = join(folder, 'program.mjs');
      writeFileSync(path, program.replace("'xen-backup-source/simulator'", JSON.stringify(library)));
      const { stdout } = await promisify(execFile)(process.execPath, [path]);
      expect(stdout).to.match(/^https:\/\/127\.0\.0\.1:\d+ root simulated ([0-9A-F]{2}:){31}[0-9A-F]{2} http:\S+\n/);
      expect(stdout).to.include('writtenBytes: 5');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('a pool file with a count', () => {
  const hosts = [{ name: 'a' }];
  const storage = [{ name: 's', type: 'lvm' as const, isDefault: true }];
  const disks = [{ name: 'disk of {n}', sizeMiB: 1, content: { kind: 'random' as const } }];

  it('stands for so many machines, each with its own disks', () => {
    const { vms } = readPoolDefinition({ name: 'x', hosts, storage, vms: [{ name: 'vm-{n}', count: 12, disks }] });
    expect(vms).to.have.lengthOf(12);
    expect(vms[0]).to.deep.include({ name: 'vm-01', count: 1 });
    expect(vms[11]?.disks[0]).to.deep.include({ name: 'disk of 12', content: { kind: 'random', seed: '1/12' } });
  });

  it('must say where the number goes, and can name no uuid', () => {
    expect(() => readPoolDefinition({ name: 'x', hosts, vms: [{ name: 'vm', count: 2 }] })).to.throw('needs a {n}');
    const uuid = '0b0b0b0b-0000-4000-8000-000000000001';
    expect(() => readPoolDefinition({ name: 'x', hosts, vms: [{ name: '{n}', count: 2, uuid }] })).to.throw('no uuid');
  });
});
