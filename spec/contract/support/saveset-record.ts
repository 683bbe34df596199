import { type SavesetRecord } from '../../../src/contract/index.js';

/** A valid record; `change` replaces fields. */
export function savesetRecord(change: Partial<SavesetRecord> = {}): SavesetRecord {
  return {
    version: 1,
    savesetId: 'web-20260102T030405Z-abcd',
    providerId: 'memory',
    createdAt: '2026-01-02T03:04:05.000Z',
    completedAt: '2026-01-02T03:05:05.000Z',
    source: { path: 'vm/m1', kind: 'vm', id: 'm1', displayName: 'web', originId: 'o1', originName: 'origin' },
    level: 'full',
    consistency: 'crash',
    items: [
      { name: 'disk-0.img', kind: 'disk', mediaType: 'application/octet-stream', bytes: 5, sha256: 'a'.repeat(64) },
    ],
    disks: [
      { id: 'd1', name: 'disk', position: '0', sizeBytes: 5, level: 'full', reason: 'only-full', item: 'disk-0.img' },
    ],
    warnings: [],
    moverHost: 'spec',
    details: { any: ['thing', 1, true] },
    ...change,
  };
}
