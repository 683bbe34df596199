import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../src/common/package-root.js';
import { BACKUP_ERROR_CODES } from '../src/contract/index.js';

const read = (...path: string[]): string => readFileSync(join(packageRoot(), ...path), 'utf8');

/** First cells of the table rows under a heading, without back-ticks. */
function firstColumn(markdown: string, heading: string): string[] {
  const section = markdown.split(/^(?=#+ )/m).find((part) => part.startsWith(heading)) ?? '';
  return [...section.matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1] ?? '');
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
});
