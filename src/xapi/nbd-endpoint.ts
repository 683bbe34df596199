import { inspect } from 'node:util';
import { endpointAddress } from './tls-trust.js';

export interface NbdEndpointFields {
  /** Without brackets, also for IPv6. */
  readonly host: string;
  readonly port: number;
  /** Holds the session reference. */
  readonly exportName: string;
  /** PEM of the certificate that the server must present, or that vouches for it. */
  readonly certificatePem: string;
  /** The name in the server's certificate. */
  readonly subject: string;
  /** True: go on without TLS when the server has none. The session reference then travels in clear. */
  readonly isPlainAllowed: boolean;
}

/** Where a disk can be read by NBD. Its export name, a secret, shows only through `revealExportName()`. */
export class NbdEndpoint {
  readonly host: string;
  readonly port: number;
  readonly certificatePem: string;
  readonly subject: string;
  readonly isPlainAllowed: boolean;
  readonly #exportName: string;

  constructor({ host, port, exportName, certificatePem, subject, isPlainAllowed }: NbdEndpointFields) {
    this.host = host;
    this.port = port;
    this.certificatePem = certificatePem;
    this.subject = subject;
    this.isPlainAllowed = isPlainAllowed;
    this.#exportName = exportName;
  }

  /** `host:port` for people. */
  get address(): string {
    return endpointAddress({ protocol: 'https:', host: this.host, port: this.port });
  }

  /** The export's name itself. Only for the server whose certificate was accepted. */
  revealExportName(): string {
    return this.#exportName;
  }

  toJSON(): Readonly<Record<string, string>> {
    return { address: this.address };
  }

  toString(): string {
    return this.address;
  }

  [inspect.custom](): string {
    return `NbdEndpoint(${this.address})`;
  }
}

/** Whether a network with this purpose carries NBD to us; without TLS only where bulk data may go in clear. */
export function carriesNbd(purpose: readonly string[], isPlainAllowed: boolean): boolean {
  return purpose.includes('nbd') || (isPlainAllowed && purpose.includes('insecure_nbd'));
}
