import { BackupError } from '../contract/index.js';
import { isTransportError } from '../xapi/transport-error.js';
import { type HostRecord } from '../xapi/xapi-records.js';

type NamedHost = Pick<HostRecord, 'uuid' | 'name_label' | 'address'>;

/** Why no connection to a host opens: a sentence's end. A certificate that is refused is no matter of the network. */
export function whyUnreachable({ address }: NamedHost, trouble: unknown): string {
  return isTransportError(trouble, 'untrusted')
    ? `its certificate is not trusted (${trouble.message.replace(/\.$/, '')})`
    : `no connection to it at ${address} opens from here`;
}

/** The same as an error, with the remedy. `what` is the sentence's beginning: `The host "a" can't be saved`. */
export function unreachableHost(what: string, host: NamedHost, trouble: unknown): BackupError {
  const message = `${what}: ${whyUnreachable(host, trouble)}.`;
  const context = { host: host.uuid, address: host.address };
  if (!isTransportError(trouble, 'untrusted')) {
    return new BackupError('SOURCE_UNREACHABLE', message, {
      hint: 'Start the host, or look at the network between it and this machine.',
      isRetriable: true,
      context,
      cause: trouble,
    });
  }
  const { fingerprint, address: endpoint = host.address } = trouble;
  return new BackupError('SOURCE_UNTRUSTED', message, {
    hint: `Each host has a certificate of its own. Compare it with the one on that host's console ("xen-backup trust https://${endpoint}"), and pin it, too.`,
    context: { ...context, ...(fingerprint === undefined ? {} : { fingerprint }) },
    cause: trouble,
  });
}
