import { type Gunzip, createGunzip } from 'node:zlib';
import { FormatError } from './format-error.js';
import { httpErrorInBody, MAX_ERROR_TEXT_BYTES, startsAsHttpAnswer } from './http-error-text.js';
import { INVENTORY_PATH, SystemTarReader } from './system-tar-reader.js';
import { TailWindow } from './tail-window.js';

/** What the backup of a host's control domain holds, as far as its restore must know. */
export interface HostArchiveSummary {
  readonly bytes: number;
  readonly unpackedBytes: number;
  readonly members: number;
  /** UUID of the host and its release, as the control domain's own inventory says. */
  readonly hostId: string;
  readonly productVersion: string;
}

const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);
const POOL_ERROR = /HTTP\/1\.\d 500 Internal Error\r\n/;

/**
 * Checks a gzip'ed tar of a control domain while it flows (facts 6.3): that it unpacks to its end, gzip's own checksum
 * included, that every tar header is sound and the archive is closed, and whose it is. Keeps only the inventory.
 */
export class HostArchiveReader {
  readonly #gunzip: Gunzip = createGunzip();
  readonly #tar = new SystemTarReader();
  readonly #tail = new TailWindow(MAX_ERROR_TEXT_BYTES);
  readonly #done: Promise<void>;
  #failure: Error | undefined;
  #bytesSinceFailure = 0;
  #bytes = 0;
  #start = Buffer.alloc(0);

  constructor() {
    this.#gunzip.on('data', (piece: Buffer) => {
      try {
        this.#tar.push(piece);
      } catch (error) {
        this.#gunzip.destroy(error as Error);
      }
    });
    this.#done = new Promise((resolve) => {
      this.#gunzip.on('error', (error) => {
        this.#failure ??= error;
        resolve();
      });
      this.#gunzip.once('close', resolve);
    });
  }

  /**
   * Resolves when the next piece may come.
   * @throws {FormatError} as soon as something is wrong.
   */
  async push(chunk: Buffer): Promise<void> {
    this.#tail.push(chunk);
    this.#bytes += chunk.length;
    if (this.#start.length < GZIP_MAGIC.length) this.#start = Buffer.concat([this.#start, chunk.subarray(0, 16)]);
    // An error page instead of the archive is read to its end, which tells what the pool has against it.
    if (startsAsHttpAnswer(this.#start)) return;
    if (this.#failure === undefined && !this.#gunzip.write(chunk)) {
      await Promise.race([new Promise((resolve) => this.#gunzip.once('drain', resolve)), this.#done]);
    }
    if (this.#failure === undefined) return;
    // An error page within the archive looks like damage: it is told apart at the end, when all of the page is here.
    this.#bytesSinceFailure += chunk.length;
    if (this.#bytesSinceFailure > MAX_ERROR_TEXT_BYTES && !this.#hasErrorPage()) throw this.#damage(this.#failure);
  }

  /**
   * Says that nothing more comes.
   * @throws {FormatError} when the archive is not complete, or an error page of the pool's stands in it.
   */
  async end(): Promise<HostArchiveSummary> {
    if (startsAsHttpAnswer(this.#start)) throw httpErrorInBody(this.#tail.read().toString('latin1'), 0);
    this.#gunzip.end();
    await this.#done;
    const tail = this.#tail.read().toString('latin1');
    const page = tail.search(POOL_ERROR);
    if (page >= 0) throw httpErrorInBody(tail.slice(page), this.#bytes - tail.length + page);
    if (this.#failure !== undefined) throw this.#damage(this.#failure);
    const { bytes: unpackedBytes, members, inventory } = this.#tar.end();
    const hostId = valueOf(inventory, 'INSTALLATION_UUID');
    const productVersion = valueOf(inventory, 'PRODUCT_VERSION');
    if (hostId === undefined || productVersion === undefined) {
      throw new FormatError(`The host backup's ${INVENTORY_PATH} does not say whose it is`);
    }
    return { bytes: this.#bytes, unpackedBytes, members, hostId, productVersion };
  }

  /** Ends the work on an archive that is of no more interest. */
  destroy(): void {
    this.#gunzip.destroy();
  }

  #hasErrorPage(): boolean {
    return POOL_ERROR.test(this.#tail.read().toString('latin1'));
  }

  #damage(cause: Error): FormatError {
    if (cause instanceof FormatError) return cause;
    if (!this.#start.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC)) {
      return new FormatError('The host backup is not compressed with gzip', { offsetBytes: 0, cause });
    }
    return new FormatError('The host backup does not unpack', { found: cause.message, cause });
  }
}

/** A line of the inventory: `NAME='value'`. */
function valueOf(inventory: string, name: string): string | undefined {
  return new RegExp(`^${name}=['"]?([^'"\\n]+)`, 'm').exec(inventory)?.[1];
}
