import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { packageRoot } from '../../src/common/package-root.js';

/** What a real XAPI 24.19.2 wrote; fixtures/captured holds it compressed. */
export function captured(name: string): Buffer {
  return gunzipSync(readFileSync(join(packageRoot(), 'fixtures', 'captured', `${name}.gz`)));
}
