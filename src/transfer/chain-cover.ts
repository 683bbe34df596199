import { type ByteExtent, type ByteRun } from '../common/byte-extent.js';
import { KIB } from '../common/byte-size.js';
import { BackupError } from '../contract/backup-error.js';

const ZEROES = Buffer.alloc(64 * KIB);

/**
 * The data of exactly these extents: that of the runs, and zeroes where there is none. Reads `runs` to its end.
 * @param extents ascending, not overlapping; a run must lie within one, or within several that touch each other.
 */
export async function* coverExtents(
  runs: AsyncIterable<ByteRun>,
  extents: Iterable<ByteExtent>,
): AsyncGenerator<ByteRun> {
  const source = runs[Symbol.asyncIterator]() as AsyncIterator<ByteRun, undefined>;
  try {
    let run = await nextOf(source);
    for (const { offsetBytes, lengthBytes } of extents) {
      const end = offsetBytes + lengthBytes;
      for (let at = offsetBytes; at < end;) {
        const stop = Math.min(end, run?.offsetBytes ?? end);
        if (stop < at) throw outside(run);
        for (; at < stop; at = Math.min(stop, at + ZEROES.length)) {
          yield { offsetBytes: at, data: ZEROES.subarray(0, Math.min(ZEROES.length, stop - at)) };
        }
        if (run === undefined || at === end) continue;
        const length = Math.min(run.data.length, end - at);
        yield { offsetBytes: at, data: run.data.subarray(0, length) };
        at += length;
        run = length === run.data.length ? await nextOf(source) : { offsetBytes: at, data: run.data.subarray(length) };
      }
    }
    if (run !== undefined) throw outside(run);
  } finally {
    await source.return?.();
  }
}

async function nextOf(source: AsyncIterator<ByteRun, undefined>): Promise<ByteRun | undefined> {
  return (await source.next()).value;
}

function outside(run: ByteRun | undefined): BackupError {
  return new BackupError('INTERNAL', `Data at byte ${run?.offsetBytes ?? 0} of a disk is where none was expected.`);
}
