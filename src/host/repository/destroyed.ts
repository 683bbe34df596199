import { type Writable } from 'node:stream';

/** Destroys a stream and resolves when it has put its things away. */
export function destroyed(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed) {
      resolve();
      return;
    }
    stream.once('close', resolve);
    stream.on('error', () => undefined);
    stream.destroy();
  });
}
