import { connect, type PeerCertificate } from 'node:tls';
import { withDeadline } from '../../common/abort.js';
import { BackupError } from '../../contract/index.js';
import { withoutControls } from './cli-output.js';
import { type CommandModule } from './command-module.js';
import { EXIT } from './exit-code.js';
import { requestInvalid } from './open-host.js';

const CONNECT_TIMEOUT_MS = 10_000;

interface ServerCertificate {
  readonly subject: string;
  readonly issuer: string;
  readonly validFrom: string;
  readonly validTo: string;
  readonly fingerprint256: string;
  /** What the system's certificate authorities say of it; undefined when they accept it. */
  readonly systemRefuses: string | undefined;
}

export const trustCommand: CommandModule = {
  define: (command) => {
    command
      .argument('<url>', 'https://host[:port], or a bare host name')
      .option('--json', 'one JSON line on standard output')
      .option('--debug', 'stack traces of failures')
      .addHelpText(
        'after',
        `
Nothing but a TLS handshake happens; no name or password is sent. Compare the fingerprint with the one that the
server's own console shows before you trust it.

Example:
  xen-backup trust https://xen1.example`,
      );
  },
  run: async ({ output, signal }, command) => {
    const [typed] = command.processedArgs as [string];
    const { host, port } = addressOf(typed);
    const certificate = await fetchCertificate(host, port, signal);
    output.json({ type: 'certificate', host, port, ...certificate });
    const facts = [
      ['Server', `${host}:${port}`],
      ['Subject', certificate.subject],
      ['Issuer', certificate.issuer],
      ['Valid', `${certificate.validFrom} to ${certificate.validTo}`],
      ['SHA-256', certificate.fingerprint256],
      ['System', certificate.systemRefuses === undefined ? 'trusted' : `not trusted (${certificate.systemRefuses})`],
    ] as const;
    for (const [label, value] of facts)
      output.line(`${output.paint('dim', label.padEnd(8))} ${withoutControls(value)}`);
    output.line();
    output.line(
      'To pin it, after comparing it with what the server itself shows, put this into "settings" of the client:',
    );
    output.line();
    output.line(`  "trust": { "fingerprints": ["${certificate.fingerprint256}"] }`);
    output.line();
    output.line('or, without a configuration:');
    output.line();
    output.line(`  xen-backup check --url ${typed} --fingerprint ${certificate.fingerprint256}`);
    return EXIT.done;
  },
};

function addressOf(typed: string): { host: string; port: number } {
  const text = typed.includes('://') ? typed : `https://${typed}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:') {
    throw requestInvalid('The address is not one of https.', 'Write https://host[:port], or just the host name.');
  }
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? 443 : Number(url.port) };
}

async function fetchCertificate(host: string, port: number, outer: AbortSignal): Promise<ServerCertificate> {
  const where = `${host}:${port}`;
  const unreachable = (reason: string, cause?: unknown): BackupError =>
    new BackupError('SOURCE_UNREACHABLE', `${where} cannot be reached: ${reason}`, {
      hint: 'Check address and port, and that nothing between here and there blocks them.',
      isRetriable: true,
      cause,
    });
  const onTimeout = (): BackupError => unreachable('it did not answer in time.');
  return withDeadline([outer], CONNECT_TIMEOUT_MS, onTimeout, (signal) => {
    return new Promise((resolve, reject) => {
      // The certificate is what we are after; whether it is trusted is for the person to decide.
      const socket = connect({ host, port, rejectUnauthorized: false, ...(isName(host) ? { servername: host } : {}) });
      const onAbort = (): void => {
        socket.destroy();
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      socket.once('error', (error: Error) => {
        reject(unreachable(error.message, error));
      });
      socket.once('secureConnect', () => {
        const certificate = socket.getPeerCertificate();
        const refusal = socket.authorized ? undefined : String(socket.authorizationError);
        socket.end();
        resolve(describe(certificate, refusal));
      });
      socket.once('close', () => {
        signal.removeEventListener('abort', onAbort);
        reject(unreachable('the connection was closed.'));
      });
    });
  });
}

function describe(certificate: PeerCertificate, systemRefuses: string | undefined): ServerCertificate {
  const { subject, issuer, valid_from: validFrom, valid_to: validTo, fingerprint256 } = certificate;
  return { subject: nameOf(subject), issuer: nameOf(issuer), validFrom, validTo, fingerprint256, systemRefuses };
}

function nameOf(name: PeerCertificate['subject']): string {
  return Object.entries(name)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(', ');
}

/** Server name indication must not carry an address. */
function isName(host: string): boolean {
  return !/^[\d.]+$|:/.test(host);
}
