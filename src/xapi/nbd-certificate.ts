import { X509Certificate } from 'node:crypto';
import { isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { type NbdEndpoint } from './nbd-endpoint.js';
import { toTransportError, TransportError } from './transport-error.js';

/**
 * Goes on in TLS over a connection, and gives it out only when the server's certificate was accepted: it is the very one
 * that the pool told us, whatever names and dates it has, or that one vouches for it and it has the name that the pool
 * told us. The pool said so over a connection that is trusted already. TLS 1.2 or later.
 * @throws {TransportError} `untrusted`, `unreachable`; nothing of ours was sent then
 */
export async function startTls(socket: Socket, endpoint: NbdEndpoint): Promise<TLSSocket> {
  const { address, certificatePem, subject } = endpoint;
  const told = parseCertificate(certificatePem, address);
  const secure = connectTls({
    socket,
    ca: certificatePem,
    // We look for ourselves, afterwards: Node drops the certificate of a connection that it refuses.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
    minVersion: 'TLSv1.2',
    ...(subject === '' || isIP(subject) !== 0 ? {} : { servername: subject }),
  });
  try {
    await new Promise<void>((resolve, reject) => {
      secure.once('secureConnect', resolve);
      secure.once('error', (error: Error) => {
        const known = toTransportError(error, address);
        reject(known instanceof Error ? known : error);
      });
      secure.once('close', () => {
        reject(new TransportError('unreachable', `${address} closed the connection instead of TLS.`, { address }));
      });
    });
    assertAccepted(secure, told, endpoint);
    // From here on a failure of the connection belongs to whoever reads.
    secure.on('error', () => undefined);
    return secure;
  } catch (error) {
    secure.on('error', () => undefined);
    secure.destroy();
    throw error;
  }
}

function parseCertificate(pem: string, address: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    const message = `The pool tells no certificate of its NBD server ${address}.`;
    throw new TransportError('untrusted', message, { address, cause });
  }
}

function assertAccepted(socket: TLSSocket, told: X509Certificate, { address, subject }: NbdEndpoint): void {
  const shown = socket.getPeerX509Certificate();
  if (shown?.fingerprint256 === told.fingerprint256) return;
  const fingerprint = shown?.fingerprint256;
  const options = { address, ...(fingerprint === undefined ? {} : { fingerprint }) };
  if (shown === undefined || !socket.authorized) {
    throw new TransportError('untrusted', `The certificate of ${address} is not the one that the pool tells.`, options);
  }
  const name = isIP(subject) === 0 ? shown.checkHost(subject) : shown.checkIP(subject);
  if (name === undefined) {
    throw new TransportError('untrusted', `The certificate of ${address} is not for ${subject}.`, options);
  }
}
