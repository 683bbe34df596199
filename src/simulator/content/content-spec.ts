import { z } from 'zod';
import { type ByteSource, ZERO_SOURCE } from './byte-source.js';
import { DiskContent } from './disk-content.js';
import { FileSource } from './file-source.js';
import { knownSources } from './known-sources.js';
import { RandomSource } from './random-source.js';
import { RangedSource, SparseSource } from './ranged-source.js';
import { TextSource } from './text-source.js';

const rangeSchema = z.object({ offsetBytes: z.int().nonnegative(), lengthBytes: z.int().nonnegative() });
const extentFields = {
  /** How much of the disk is filled, evenly spread; default all of it. */
  fillPercent: z.number().min(0).max(100).optional(),
  /** Only these parts of the disk are filled. */
  allocatedRanges: z.array(rangeSchema).optional(),
};
const seed = z.union([z.number(), z.string()]).optional();

const plainSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('zero') }),
  /** Incompressible, every 4 KiB different. */
  z.object({ kind: z.literal('random'), seed, ...extentFields }),
  /** English-like words, compresses to about a third, every 4 KiB different. */
  z.object({ kind: z.literal('text'), seed, ...extentFields }),
  /** A file, read where and when it is needed; zero after its end. */
  z.object({ kind: z.literal('file'), path: z.string(), ...extentFields }),
]);

/** What a disk holds before anybody writes to it; plain data, so that a pool file can carry it. */
export const contentSpecSchema = z.discriminatedUnion('kind', [
  ...plainSchema.options,
  /** Several kinds one after the other, zeroes between; generators count from the disk's start, files from the range's. */
  z.object({ kind: z.literal('ranges'), ranges: z.array(rangeSchema.extend({ content: plainSchema })) }),
]);

type PlainSpec = z.infer<typeof plainSchema>;
export type ContentSpec = z.infer<typeof contentSpecSchema>;

/** A disk of `sizeBytes` with what `spec` says. Throws SR_BACKEND_FAILURE_46 for a file that cannot be read. */
export function createDiskContent(sizeBytes: number, spec: ContentSpec = { kind: 'zero' }): DiskContent {
  return new DiskContent(sizeBytes, sourceOf(spec));
}

function sourceOf(spec: ContentSpec): ByteSource {
  if (spec.kind !== 'ranges') return plainSource(spec);
  return new RangedSource(
    spec.ranges.map(({ offsetBytes, lengthBytes, content }) => ({
      offsetBytes,
      lengthBytes,
      source: plainSource(content),
      shiftBytes: content.kind === 'file' ? offsetBytes : 0,
    })),
  );
}

function plainSource(spec: PlainSpec): ByteSource {
  if (spec.kind === 'zero') return ZERO_SOURCE;
  const whole = wholeSource(spec);
  if (spec.allocatedRanges !== undefined) {
    return new RangedSource(spec.allocatedRanges.map((range) => ({ ...range, source: whole, shiftBytes: 0 })));
  }
  return spec.fillPercent === undefined || spec.fillPercent === 100 ? whole : new SparseSource(whole, spec.fillPercent);
}

function wholeSource(spec: Exclude<PlainSpec, { kind: 'zero' }>): ByteSource {
  switch (spec.kind) {
    case 'random': {
      const seed = spec.seed ?? 1;
      return knownSources.of(`random:${seed}`, () => new RandomSource(seed));
    }
    case 'text': {
      const seed = spec.seed ?? 1;
      return knownSources.of(`text:${seed}`, () => new TextSource(seed));
    }
    case 'file':
      return new FileSource(spec.path);
  }
}
