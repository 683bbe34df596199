import { type Clock } from '../common/clock.js';
import { connectNbd, type NbdConnection } from '../xapi/nbd-client.js';
import { type NbdEndpoint } from '../xapi/nbd-endpoint.js';
import { type NbdLimits } from '../xapi/nbd-handshake.js';
import { isTransportError, TransportError } from '../xapi/transport-error.js';

/** Waits before each round of attempts when all connections were lost; a round tries every endpoint once. */
const ROUND_DELAYS_MS = [0, 500, 2_000, 5_000, 10_000] as const;
/** However much was read in between: a server that breaks again and again will not give the whole disk. */
const MAX_ROUNDS = 20;

/** One open connection and what it has to do. */
export interface NbdLink {
  readonly connection: NbdConnection;
  readonly endpoint: NbdEndpoint;
  readonly openingMs: number;
  /** Asked for and not yet come. */
  waitingBytes: number;
}

export interface NbdLinksOptions {
  /** Where the disk can be read, best first. Asked again after a loss: the session inside may be another one by then. */
  readonly endpoints: (signal: AbortSignal) => Promise<readonly NbdEndpoint[]>;
  /** Of the disk; a server that gives another one is refused. */
  readonly sizeBytes: number;
  readonly limits: NbdLimits;
  readonly clock: Clock;
  /** A connection was lost, and another one is looked for. */
  readonly onLoss?: (error: Error) => void;
}

/** The connections of one reader: opens the first, more on request, and others for lost ones. */
export class NbdLinks {
  readonly #options: NbdLinksOptions;
  readonly #signal: AbortSignal;
  readonly #open = new Set<NbdLink>();
  #lost: NbdEndpoint | undefined;
  /** Rounds since something was read, and in all. */
  #fruitlessRounds = 0;
  #rounds = 0;

  constructor(options: NbdLinksOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  get count(): number {
    return this.#open.size;
  }

  /** The one with the least to do; undefined when there is none. */
  leastBusy(): NbdLink | undefined {
    let found: NbdLink | undefined;
    for (const link of this.#open) {
      if (found === undefined || link.waitingBytes < found.waitingBytes) found = link;
    }
    return found;
  }

  /** Something was read: the next loss has all its rounds again. */
  succeeded(): void {
    this.#fruitlessRounds = 0;
  }

  /** Forgets a link whose connection is over. */
  drop(link: NbdLink, error: Error): void {
    if (!this.#open.delete(link)) return;
    this.#lost = link.endpoint;
    this.#options.onLoss?.(error);
  }

  /**
   * Opens the first connection, with one attempt at each endpoint: who calls may know another way.
   * @throws {TransportError} of the last endpoint
   */
  async openFirst(): Promise<void> {
    await this.#round();
  }

  /**
   * Opens a connection in place of the lost ones, over other endpoints first, with pauses that grow.
   * @throws {TransportError} of the last attempt, when there were too many
   */
  async openAgain(reason: Error): Promise<void> {
    let last = reason;
    for (;;) {
      const delayMs = ROUND_DELAYS_MS[this.#fruitlessRounds];
      if (delayMs === undefined || this.#rounds >= MAX_ROUNDS) throw last;
      this.#fruitlessRounds += 1;
      this.#rounds += 1;
      await this.#options.clock.sleep(delayMs, this.#signal);
      try {
        await this.#round();
        return;
      } catch (error) {
        if (!isTransportError(error) || isFinal(error)) throw error;
        last = error;
      }
    }
  }

  /** One more, beside those that are open. */
  async openAnother(endpoint: NbdEndpoint): Promise<void> {
    this.#open.add(await this.#connect(endpoint));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map(({ connection }) => connection.close()));
  }

  async #round(): Promise<void> {
    const endpoints = await this.#options.endpoints(this.#signal);
    const isLost = ({ address }: NbdEndpoint): boolean => address === this.#lost?.address;
    const inOrder = [...endpoints.filter((one) => !isLost(one)), ...endpoints.filter(isLost)];
    let last: Error = new TransportError('unreachable', 'The pool tells no NBD server for this disk.');
    for (const endpoint of inOrder) {
      try {
        await this.openAnother(endpoint);
        return;
      } catch (error) {
        this.#signal.throwIfAborted();
        if (!isTransportError(error) || isFinal(error)) throw error;
        last = error;
      }
    }
    throw last;
  }

  async #connect(endpoint: NbdEndpoint): Promise<NbdLink> {
    const { limits, clock, sizeBytes } = this.#options;
    const fromMs = clock.nowMs();
    const connection = await connectNbd(endpoint, limits, clock, this.#signal);
    if (connection.sizeBytes !== sizeBytes) {
      await connection.close();
      const message = `${endpoint.address} gives a disk of ${connection.sizeBytes} bytes, not of ${sizeBytes}.`;
      throw new TransportError('protocol', message, { address: endpoint.address });
    }
    return { connection, endpoint, openingMs: clock.nowMs() - fromMs, waitingBytes: 0 };
  }
}

/** Another attempt would meet the same, or must not be made: somebody else may be answering. */
function isFinal(error: TransportError): boolean {
  return error.kind === 'untrusted' || error.kind === 'protocol';
}
