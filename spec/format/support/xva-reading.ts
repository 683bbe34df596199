import { FormatError } from '../../../src/format/format-error.js';
import { XvaReader, type XvaReaderOptions, type XvaSummary } from '../../../src/format/xva-reader.js';
import { type BuildXvaOptions, builtDisk, buildXva, buildXvaMembers } from '../../support/xva-builder.js';

/** Small blocks: an archive may have any block length. Blocks 1, 3 and 4 are left out; the last one is short. */
export const smallDisk = builtDisk('Ref:7', 5 * 1024 + 100, { 0: 1024, 2: 1024, 5: 100 });
export const smallXva = async (options: BuildXvaOptions = {}): Promise<Buffer> =>
  await buildXva({ disks: [smallDisk], ...options });
export const smallMembers = async (): Promise<Buffer[]> => await buildXvaMembers({ disks: [smallDisk] });

/** Reads pieces one after the other, to the end; the memory of each is filled with something else at once. */
export function read(pieces: readonly Buffer[], options?: XvaReaderOptions): XvaSummary {
  const reader = new XvaReader(options);
  for (const piece of pieces) {
    const lent = Buffer.from(piece);
    reader.push(lent);
    lent.fill(0xee);
  }
  return reader.end();
}

/** How the reading of pieces fails; throws when it does not. */
export function failure(...pieces: Buffer[]): FormatError {
  try {
    read(pieces);
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
  throw new TypeError('It was taken for a good archive.');
}

/** What XAPI writes amid an export that fails, with the error as `information`. */
export function errorPage(information: string, end = '</body></html>'): Buffer {
  return Buffer.from(
    'HTTP/1.1 500 Internal Error\r\ncontent-length: 266\r\nconnection: close\r\ncontent-type: text/html\r\n\r\n' +
      `<html><body><h1>HTTP 500 internal server error</h1>An unexpected error occurred.<h1> Additional information </h1>${information}${end}`,
  );
}
