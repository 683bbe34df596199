import { connect } from 'node:net';

/** What came back, as latin-1 text, and whether the server ended the connection. */
export interface RawAnswer {
  readonly text: string;
  readonly isClosed: boolean;
}

/** Sends bytes and collects the answer until the server closes, or until `isEnough` says so. */
export function exchangeRaw(
  url: string,
  bytes: string | Buffer,
  isEnough: (text: string) => boolean = () => false,
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const { port, hostname } = new URL(url);
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    const pieces: Buffer[] = [];
    const done = (isClosed: boolean): void => {
      socket.destroy();
      resolve({ text: Buffer.concat(pieces).toString('latin1'), isClosed });
    };
    socket.on('data', (chunk: Buffer) => {
      pieces.push(chunk);
      if (isEnough(Buffer.concat(pieces).toString('latin1'))) done(false);
    });
    socket.on('end', () => {
      done(true);
    });
    socket.on('error', reject);
  });
}

/** A PUT with its length told, head and body in one. */
export function putRequest(path: string, body: string | Buffer): Buffer {
  const bytes = Buffer.from(body);
  return Buffer.concat([Buffer.from(`PUT ${path} HTTP/1.1\r\nContent-Length: ${bytes.length}\r\n\r\n`), bytes]);
}

export function bodyOf(text: string): string {
  return text.slice(text.indexOf('\r\n\r\n') + 4);
}
