import { PassThrough, type Readable, type Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { MIB } from '../../common/byte-size.js';
import { destroyed } from './destroyed.js';
import { MOST_WAITING_BYTES } from './item-file.js';

/** A Writable that packs what comes and passes it on: it has finished when the file has. `onBytes` is told what comes. */
export function packedInto(file: Writable, packer: Transform, onBytes: (bytes: number) => void): Writable {
  const stored = pipeline(packer, file);
  const stream = new Writable({
    highWaterMark: MOST_WAITING_BYTES,
    write: (piece: Buffer, _encoding, done) => {
      onBytes(piece.length);
      packer.write(piece, done);
    },
    final: (done) => {
      packer.end();
      stored.then(() => {
        done();
      }, done);
    },
    destroy: (error, done) => {
      const gone = destroyed(file);
      packer.destroy();
      void gone.then(() => {
        done(error);
      });
    },
  });
  // What the file failed with, and not what the packer makes of it.
  stored.catch((error: unknown) => stream.destroy(error as Error));
  return stream;
}

/** The content of a packed file; `toError` says what a failure of the unpacking means. Destroying it closes the file. */
export function unpackedFrom(file: Readable, unpacker: Transform, toError: (cause: unknown) => Error): Readable {
  const content = new PassThrough({ highWaterMark: MIB });
  file.on('error', (error) => content.destroy(error));
  unpacker.on('error', (cause) => content.destroy(file.errored ?? toError(cause)));
  content.once('close', () => {
    file.destroy();
    unpacker.destroy();
  });
  file.pipe(unpacker).pipe(content);
  return content;
}
