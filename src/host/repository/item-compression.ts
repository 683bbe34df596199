import { availableParallelism } from 'node:os';
import { type Transform } from 'node:stream';
import zlib from 'node:zlib';
import { MIB } from '../../common/byte-size.js';
import { BackupError } from '../../contract/index.js';
import { systemCode } from '../to-host-error.js';

export const COMPRESSIONS = ['none', 'zstd', 'gzip'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

/** What the file of an item is called: its own name, and the ending that every other program knows it by. */
export const FILE_ENDINGS: Readonly<Record<Compression, string>> = { none: '', zstd: '.zst', gzip: '.gz' };

/** Makes streams that pack and unpack. */
export interface Packer {
  readonly pack: () => Transform;
  readonly unpack: () => Transform;
}

/** The part of the package `zstd-napi` that is used. */
interface ZstdNapi {
  readonly CompressStream: new (parameters: { checksumFlag: boolean; nbWorkers: number }) => Transform;
  readonly DecompressStream: new () => Transform;
}

/** The part of Node's zlib that is there from Node 22.15 on. */
interface NodeZstd {
  readonly createZstdCompress: (options: { chunkSize: number; params: Readonly<Record<number, number>> }) => Transform;
  readonly createZstdDecompress: (options: { chunkSize: number }) => Transform;
  readonly constants: { readonly ZSTD_c_checksumFlag: number };
}

/** Where zstd may come from; for specs. */
export interface ZstdSources {
  readonly importNapi: () => Promise<unknown>;
  readonly nodeZlib: object;
}

/** Two and a half times as fast as the default for a file that is a twelfth larger (programs and libraries of a Linux). */
const GZIP_LEVEL = 1;
const NAPI_PACKAGE = 'zstd-napi';
const OF_THIS_PROCESS: ZstdSources = {
  // By a variable: it is no dependency of ours, and no compiler or bundler is to look for it.
  importNapi: () => import(NAPI_PACKAGE),
  nodeZlib: zlib,
};

/**
 * What packs and unpacks; undefined for `none`. Packing is done beside the main thread: by `zstd-napi` in threads of its own,
 * one for each other core, for which it waits when they are behind; by Node's in its pool.
 * @throws {BackupError} CONFIG_INVALID when there is no zstd here.
 */
export async function packerFor(
  compression: Compression,
  sources: ZstdSources = OF_THIS_PROCESS,
): Promise<Packer | undefined> {
  switch (compression) {
    case 'none':
      return undefined;
    case 'gzip':
      return {
        pack: () => zlib.createGzip({ chunkSize: MIB, level: GZIP_LEVEL }),
        unpack: () => zlib.createGunzip({ chunkSize: MIB }),
      };
    case 'zstd':
      return (await napiPacker(sources)) ?? nodePacker(sources) ?? missing();
  }
}

async function napiPacker({ importNapi }: ZstdSources): Promise<Packer | undefined> {
  let loaded: unknown;
  try {
    loaded = await importNapi();
  } catch (error) {
    if (systemCode(error) === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw new BackupError('CONFIG_INVALID', `The package ${NAPI_PACKAGE} is there and cannot be loaded.`, {
      hint: `Install it again, or remove it: Node 22.15 and later have zstd by themselves.`,
      cause: error,
    });
  }
  // A CommonJS package: its exports may stand beside `default` or in it.
  const { default: inner, ...outer } = loaded as Partial<ZstdNapi> & { readonly default?: Partial<ZstdNapi> };
  const { CompressStream, DecompressStream } = { ...inner, ...outer };
  if (CompressStream === undefined || DecompressStream === undefined) return undefined;
  const nbWorkers = Math.max(1, availableParallelism() - 1);
  return {
    pack: () => new CompressStream({ checksumFlag: true, nbWorkers }),
    unpack: () => new DecompressStream(),
  };
}

function nodePacker({ nodeZlib }: ZstdSources): Packer | undefined {
  if (!('createZstdCompress' in nodeZlib)) return undefined;
  const { createZstdCompress, createZstdDecompress, constants } = nodeZlib as NodeZstd;
  return {
    pack: () => createZstdCompress({ chunkSize: MIB, params: { [constants.ZSTD_c_checksumFlag]: 1 } }),
    unpack: () => createZstdDecompress({ chunkSize: MIB }),
  };
}

function missing(): never {
  throw new BackupError(
    'CONFIG_INVALID',
    `Node ${process.versions.node} has no zstd, and ${NAPI_PACKAGE} is not there.`,
    {
      hint: `Run it with Node 22.15 or later, install ${NAPI_PACKAGE} beside it, or compress with gzip.`,
    },
  );
}
