import { type CheckLine } from '../contract/index.js';
import { type EndpointSighting } from '../xapi/endpoint-probe.js';
import { endpointAddress } from '../xapi/tls-trust.js';

const DAY_MS = 24 * 60 * 60_000;
const CERTIFICATE_WARNING_DAYS = 30;
/** Slower than this is no load: it is a name server or a route that is wrong. */
const SLOW_MS = 2_000;
/** How far a host's clock may be from ours. */
const MAX_OFFSET_MS = 60_000;
/** How far the clocks of two hosts of one pool may be apart; XAPI tells times to the second. */
const MAX_SPREAD_MS = 10_000;

const ROUTING =
  'Give every management interface a name in DNS, one gateway, and one route back; with asymmetric routing or two ' +
  'interfaces in one subnet sockets open after 3 s or 80 s, or not at all.';

/** A member of the pool as its own records show it. */
export interface MemberFacts {
  readonly name: string;
  readonly address: string;
  readonly isLive: boolean;
  readonly isEnabled: boolean;
  readonly isHttpsOnly: boolean;
  /** Of the certificate that the pool says it has; undefined on releases that don't say (before 8.2). */
  readonly certificate: { readonly fingerprint: string; readonly endMs: number } | undefined;
}

/** Is it there, and does it take work? */
export function memberFinding({ name, address, isLive, isEnabled }: MemberFacts): CheckLine {
  const where = `${name} (${address})`;
  if (!isLive) {
    return {
      status: 'error',
      check: 'member',
      message: `The host ${where} does not answer the pool.`,
      hint: 'Machines on its local storage can be neither saved nor restored until it is back.',
    };
  }
  return isEnabled
    ? { status: 'ok', check: 'member', message: `The host ${where} is there.` }
    : { status: 'warning', check: 'member', message: `The host ${where} is in maintenance mode.` };
}

/** Name, route and certificate of a member as this machine meets them: bulk data may come from any member. */
export function reachFindings({ name, certificate }: MemberFacts, seen: EndpointSighting): readonly CheckLine[] {
  const { failure, addresses, lookupMs, connectMs, fingerprint } = seen;
  const at = endpointAddress(seen.endpoint);
  if (addresses.length === 0 && failure !== undefined) {
    const message = `The name of the host ${name}, ${seen.endpoint.host}, cannot be resolved here.`;
    return [{ status: 'error', check: 'name', message, hint: ROUTING }];
  }
  const lines: CheckLine[] = [];
  if (lookupMs > SLOW_MS) {
    const message = `Looking up ${seen.endpoint.host} took ${seconds(lookupMs)}.`;
    lines.push({ status: 'warning', check: 'name', message, hint: 'Look at the name servers of this machine.' });
  }
  if (connectMs === undefined) {
    const message = `The host ${name} (${at}) cannot be reached from here: ${failure?.message ?? 'no connection'}`;
    lines.push({ status: 'error', check: 'connection', message, hint: `Check firewall and routes. ${ROUTING}` });
    return lines;
  }
  lines.push(
    connectMs > SLOW_MS
      ? {
          status: 'warning',
          check: 'connection',
          message: `Connecting to the host ${name} (${at}) took ${seconds(connectMs)}.`,
          hint: ROUTING,
        }
      : {
          status: 'ok',
          check: 'connection',
          message: `The host ${name} (${at}) answers in ${Math.round(connectMs)} ms.`,
        },
  );
  if (failure !== undefined) {
    lines.push({
      status: 'error',
      check: 'certificate',
      message: `The certificate of ${name} is not trusted: ${failure.message}`,
      hint: `Look at it with "xen-backup trust https://${at}", compare it with the host's console, and pin it.`,
    });
  } else if (certificate !== undefined && certificate.fingerprint !== '' && certificate.fingerprint !== fingerprint) {
    lines.push({
      status: 'warning',
      check: 'certificate',
      message: `${at} shows another certificate than the pool has for ${name}.`,
      hint: 'A proxy or another machine answers there. Look at the address of the host, and at what stands between.',
    });
  }
  return lines;
}

/** How long a certificate is good: from the pool's record, else from what the host presented. */
export function expiryFindings(
  member: MemberFacts,
  seen: EndpointSighting | undefined,
  nowMs: number,
): readonly CheckLine[] {
  const endMs = member.certificate?.endMs ?? seen?.validToMs;
  if (endMs === undefined) return [];
  const daysLeft = Math.floor((endMs - nowMs) / DAY_MS);
  const hint = 'Renew it in time; a client that pins fingerprints needs the new one.';
  if (daysLeft < 0) {
    return [{ status: 'error', check: 'certificate', message: `The certificate of ${member.name} has expired.`, hint }];
  }
  const message = `The certificate of ${member.name} is good for ${daysLeft} days.`;
  return daysLeft < CERTIFICATE_WARNING_DAYS
    ? [{ status: 'warning', check: 'certificate', message, hint }]
    : [{ status: 'ok', check: 'certificate', message }];
}

/** A host's clock against this machine's, in the middle of the call that asked; positive: it is ahead. */
export interface ClockReading {
  readonly name: string;
  readonly offsetMs: number;
}

/** Clocks that disagree make times of snapshots, logs and savesets useless, and refuse logins of directory accounts. */
export function clockFindings(readings: readonly ClockReading[]): readonly CheckLine[] {
  if (readings.length === 0) return [];
  const hint = 'Let all hosts and this machine follow the same time servers (NTP).';
  const offsets = readings.map(({ offsetMs }) => offsetMs);
  const spreadMs = Math.max(...offsets) - Math.min(...offsets);
  const lines = readings
    .filter(({ offsetMs }) => Math.abs(offsetMs) > MAX_OFFSET_MS)
    .map(({ name, offsetMs }): CheckLine => {
      const direction = offsetMs > 0 ? 'ahead of' : 'behind';
      const message = `The clock of ${name} is ${seconds(Math.abs(offsetMs))} ${direction} this machine's.`;
      return { status: 'warning', check: 'clock', message, hint };
    });
  if (spreadMs > MAX_SPREAD_MS) {
    const message = `The clocks of the pool's hosts are up to ${seconds(spreadMs)} apart.`;
    lines.push({ status: 'warning', check: 'clock', message, hint });
  }
  if (lines.length > 0) return lines;
  return [{ status: 'ok', check: 'clock', message: 'The clocks of the hosts and of this machine agree.' }];
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
