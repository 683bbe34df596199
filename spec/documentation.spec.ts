import { expect } from 'chai';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../src/common/package-root.js';
import { parseBackupOptions } from '../src/backup/backup-options.js';
import { BACKUP_ERROR_CODES, type BackupError } from '../src/contract/index.js';
import { CONFIG_KEYS } from '../src/host/config-file.js';
import { BACKUP_OPTIONS, RESTORE_OPTIONS } from '../src/host/cli/provider-option-table.js';
import { LEVEL_REASONS } from '../src/format/level-reason.js';
import { xenConfigJsonSchema } from '../src/plugin/xen-config.js';
import { XAPI_ERRORS } from '../src/provider/error-table.js';
import { parseRestoreRequest } from '../src/restore/restore-options.js';
import { savesetRecord } from './contract/support/saveset-record.js';

const read = (...path: string[]): string => readFileSync(join(packageRoot(), ...path), 'utf8');

/** First cells of the table rows under a heading, without back-ticks. */
function firstColumn(markdown: string, heading: string): string[] {
  const section = markdown.split(/^(?=#+ )/m).find((part) => part.startsWith(heading)) ?? '';
  return [...section.matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1] ?? '');
}

/** Folders whose code warns; `error-table.ts` holds the pool's codes, which are none of ours. */
const WARNING_FOLDERS = ['backup', 'restore', 'provider', 'session', 'host', 'transfer'];

/** Every upper-case word in the code that is a warning: no error code of ours, none of the pool, of TLS or of Node. */
function warningCodes(): ReadonlySet<string> {
  const { errors } = JSON.parse(read('fixtures', 'datamodel', 'xenapi.json')) as { errors: object };
  const poolCodes = Array.isArray(errors)
    ? (errors as readonly (string | { readonly name: string })[]).map((one) =>
        typeof one === 'string' ? one : one.name,
      )
    : Object.keys(errors);
  const others = new Set<string>([
    ...BACKUP_ERROR_CODES,
    ...Object.keys(XAPI_ERRORS),
    ...poolCodes,
    'ABORT_ERR',
    'ERR_MODULE_NOT_FOUND',
  ]);
  for (const reason of LEVEL_REASONS) others.add(reason);
  const found = new Set<string>();
  for (const folder of WARNING_FOLDERS) {
    for (const path of readdirSync(join(packageRoot(), 'src', folder), { recursive: true, encoding: 'utf8' })) {
      if (!path.endsWith('.ts') || path === 'error-table.ts') continue;
      const code = read('src', folder, path);
      const words = code.matchAll(/'([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)'|\b(?:warn|fallBack)\(\s*'([A-Z][A-Z0-9_]*)'/g);
      for (const [, word, only] of words) found.add(word ?? only ?? '');
    }
  }
  return new Set([...found].filter((word) => !others.has(word)));
}

interface ManualRow {
  readonly id: string;
  readonly how: string;
  readonly proof: string;
}

function manualRows(): readonly ManualRow[] {
  const rows = read('docs', 'manual.md').matchAll(/^\| (S\d+) \|(.+)\|$/gm);
  return [...rows].map(([, id = '', rest = '']) => {
    const cells = rest.split(' | ').map((cell) => cell.trim());
    expect(cells, id).to.have.length(4);
    const [, , how = '', proof = ''] = cells;
    return { id, how, proof };
  });
}

function refusalOf(work: () => unknown): BackupError {
  try {
    work();
  } catch (error) {
    return error as BackupError;
  }
  return expect.fail('nothing was refused');
}

describe('documentation', () => {
  it('has one row for every error code, and no other', () => {
    expect(firstColumn(read('docs', 'errors.md'), '## Error codes')).to.have.members([...BACKUP_ERROR_CODES]);
  });

  it('names every runtime dependency with the licence that it has', () => {
    const page = read('docs', 'dependencies.md');
    const manifest = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
    expect(firstColumn(page, '# Dependencies')).to.have.members(Object.keys(manifest.dependencies));
    for (const name of Object.keys(manifest.dependencies)) {
      const { license } = JSON.parse(read('node_modules', name, 'package.json')) as { license: string };
      expect(page, name).to.include(`| \`${name}\` | ${license} |`);
    }
  });

  it('has one row for every key of the configuration, and no other', () => {
    const rows = firstColumn(read('docs', 'options.md'), '## Configuration of the command');
    expect(rows).to.have.members(CONFIG_KEYS);
  });

  it('has one row for every setting of a client, and no other', () => {
    const { properties } = xenConfigJsonSchema();
    const rows = firstColumn(read('docs', 'options.md'), '## Client settings');
    expect(rows).to.have.members(Object.keys(properties as object));
  });

  it('has one row for every backup option, and no other', () => {
    const refused = refusalOf(() => parseBackupOptions({ source: 'vm/a', savesetId: 'a', options: { nonsense: 1 } }));
    const known = /options (.+)\.$/.exec(refused.hint ?? '')?.[1]?.split(', ') ?? [];
    expect(known.length).to.be.greaterThan(5);
    expect(firstColumn(read('docs', 'options.md'), '## Backup options')).to.have.members(known);
    expect(BACKUP_OPTIONS.map(({ name }) => name)).to.have.members(known);
  });

  it('has every restore option, and no other; the help has the same', () => {
    const request = { mode: 'new', name: 'a', options: { nonsense: 1 } } as const;
    const refused = refusalOf(() => parseRestoreRequest(request, savesetRecord()));
    const known = /options (.+)\.$/.exec(refused.hint ?? '')?.[1]?.split(', ') ?? [];
    expect(known.length).to.be.greaterThan(8);
    // Of the pool's metadata and of hosts; of one disk.
    const all = new Set([...known, 'confirm', 'check']);
    const section = read('docs', 'options.md').split('## Restore options')[1] ?? '';
    const cells = [...section.matchAll(/^\| (`[^|]+`) \|/gm)].map(([, cell = '']) => cell);
    const documented = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
    expect(new Set(documented)).to.deep.equal(all);
    expect(new Set(RESTORE_OPTIONS.map(({ name }) => name))).to.deep.equal(all);
  });

  it('has one row for every reason of a level, and no other', () => {
    expect(firstColumn(read('docs', 'options.md'), '## Levels')).to.have.members([...LEVEL_REASONS]);
  });

  it('has one row for every warning code that the code raises, and no other', () => {
    const raised = warningCodes();
    expect(raised.size).to.be.greaterThan(15);
    expect(firstColumn(read('docs', 'errors.md'), '## Warning codes')).to.have.members([...raised]);
  });

  describe("the manual's requirements", () => {
    it('are all there, in order', () => {
      const wanted = Array.from({ length: 61 }, (_none, index) => `S${index + 1}`);
      expect(manualRows().map(({ id }) => id)).to.deep.equal(wanted);
    });

    it('name specs that exist, or say what is missing or why nothing can be done', () => {
      for (const { id, proof } of manualRows()) {
        if (/^(Not applicable|Missing): .{20,}/.test(proof)) continue;
        expect(proof, id).to.match(/^`spec\/[\w./-]+\.spec\.ts`(, `spec\/[\w./-]+\.spec\.ts`)*$/);
        for (const [, path = ''] of proof.matchAll(/`([^`]+)`/g)) {
          expect(existsSync(join(packageRoot(), path)), `${id}: ${path}`).to.equal(true);
        }
      }
    });

    it('name options that the commands and the provider know', () => {
      const commands = readdirSync(join(packageRoot(), 'src', 'host', 'cli')).map((name) =>
        read('src', 'host', 'cli', name),
      );
      const options = ['backup', 'restore'].flatMap((folder) =>
        readdirSync(join(packageRoot(), 'src', folder)).map((name) => read('src', folder, name)),
      );
      let seen = 0;
      for (const { id, how } of manualRows()) {
        for (const [, flag = ''] of how.matchAll(/(--[a-z-]+)/g)) {
          seen += 1;
          expect(
            commands.some((text) => text.includes(flag)),
            `${id}: ${flag}`,
          ).to.equal(true);
        }
        for (const [, key = ''] of how.matchAll(/-[oa] (\w+)/g)) {
          seen += 1;
          expect(
            options.some((text) => new RegExp(`\\b${key}\\b`).test(text)),
            `${id}: ${key}`,
          ).to.equal(true);
        }
      }
      expect(seen).to.be.greaterThan(15);
    });
  });
});
