import { inject, injectable } from 'inversify';
import { formatBytes } from '../common/byte-size.js';
import { Clock } from '../common/clock.js';
import { type CheckLine } from '../contract/index.js';
import { freeBytesOf } from '../restore/storage-choice.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { PoolConnection } from '../session/pool-connection.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { isNullRef, type RefOf, type SrRecord, xapiDateMs } from '../xapi/xapi-records.js';
import { Reconciler } from './reconciler.js';
import { toBackupError } from './to-backup-error.js';

const DAY_MS = 24 * 60 * 60_000;
const CERTIFICATE_WARNING_DAYS = 30;
/** A storage that is fuller than this is worth a word. */
const LOW_SPACE_FRACTION = 0.1;

type Look = (signal: AbortSignal) => Promise<readonly CheckLine[]>;

/** Looks at everything that a backup or a restore will need. What it finds are lines; it never rejects for a finding. */
@injectable()
export class PoolCheck {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(Reconciler) private readonly reconciler: Reconciler,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  async run(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const looks: readonly (readonly [check: string, look: Look])[] = [
      ['login', () => Promise.resolve(this.#login())],
      ['members', (all) => this.#members(all)],
      ['certificate', (all) => this.#certificates(all)],
      ['storage', (all) => this.#storage(all)],
      ['leftovers', (all) => this.#leftovers(all)],
    ];
    const lines: CheckLine[] = [];
    for (const [check, look] of looks) {
      signal.throwIfAborted();
      lines.push(...(await findings(check, look, signal)));
    }
    return lines;
  }

  #login(): readonly CheckLine[] {
    const { coordinatorAddress, members } = this.pool;
    const { username } = this.settings.credentials;
    const transport: readonly CheckLine[] =
      this.settings.dataTransport === 'https'
        ? []
        : [
            {
              status: 'warning',
              check: 'transport',
              message: 'Bulk data goes over plain http; it can be read on the network.',
              hint: 'Set dataTransport to https.',
            },
          ];
    return [
      { status: 'ok', check: 'login', message: `Logged in as ${username}.` },
      {
        status: 'ok',
        check: 'coordinator',
        message: `The coordinator is ${members[0]?.name ?? coordinatorAddress} (${coordinatorAddress}).`,
      },
      ...transport,
    ];
  }

  async #members(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const [hosts, metrics] = await Promise.all([
      this.pool.allRecords('host', { signal }),
      this.pool.allRecords('host_metrics', { signal }),
    ]);
    return [...hosts.values()].map((host): CheckLine => {
      const where = `${host.name_label} (${host.address})`;
      if (metrics.get(host.metrics)?.live !== true) {
        return {
          status: 'error',
          check: 'member',
          message: `The host ${where} does not answer the pool.`,
          hint: 'Machines on its local storage can be neither saved nor restored until it is back.',
        };
      }
      return host.enabled
        ? { status: 'ok', check: 'member', message: `The host ${where} is there.` }
        : { status: 'warning', check: 'member', message: `The host ${where} is in maintenance mode.` };
    });
  }

  async #certificates(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const hosts = await this.pool.allRecords('host', { signal });
    const certificates = await this.pool.allRecords('Certificate', { signal });
    return [...certificates.values()]
      .filter(({ type }) => type === 'host')
      .map(({ host, not_after: end }): CheckLine => {
        const name = hosts.get(host)?.name_label ?? 'a host';
        const daysLeft = Math.floor((xapiDateMs(end) - this.clock.nowMs()) / DAY_MS);
        const hint = 'Renew it in time; a client that pins fingerprints needs the new one.';
        if (daysLeft < 0) {
          return { status: 'error', check: 'certificate', message: `The certificate of ${name} has expired.`, hint };
        }
        const message = `The certificate of ${name} is good for ${daysLeft} days.`;
        return daysLeft < CERTIFICATE_WARNING_DAYS
          ? { status: 'warning', check: 'certificate', message, hint }
          : { status: 'ok', check: 'certificate', message };
      });
  }

  async #storage(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const [pools, storages] = await Promise.all([
      this.pool.allRecords('pool', { signal }),
      this.pool.allRecords('SR', { signal }),
    ]);
    const ref = [...pools.values()][0]?.default_SR;
    const record = ref === undefined || isNullRef(ref) ? undefined : storages.get(ref);
    if (ref === undefined || record === undefined) {
      return [
        {
          status: 'warning',
          check: 'default-storage',
          message: 'The pool has no default storage.',
          hint: 'A restore must name its storage, or set a default storage in the pool.',
        },
      ];
    }
    // Scanning needs the role that snapshots need (VM power admin), and brings fresh numbers at the same time.
    try {
      await this.pool.callTask('SR.scan', [ref], { signal });
    } catch (error) {
      if (!isXapiError(error, 'RBAC_PERMISSION_DENIED')) throw error;
      const message = 'The account may look at the pool but not work in it.';
      return [{ status: 'error', check: 'role', message, hint: 'Give it the role VM power admin or a higher one.' }];
    }
    const account: CheckLine = {
      status: 'ok',
      check: 'role',
      message: 'The account may work with storage and machines.',
    };
    return [account, await this.#space(ref, signal)];
  }

  async #space(ref: RefOf<'SR'>, signal: AbortSignal): Promise<CheckLine> {
    const record: SrRecord = await this.pool.record('SR', ref, { signal });
    const freeBytes = freeBytesOf(record);
    const message = `The default storage "${record.name_label}" has ${formatBytes(freeBytes)} of ${formatBytes(record.physical_size)} left.`;
    return freeBytes < record.physical_size * LOW_SPACE_FRACTION
      ? { status: 'warning', check: 'default-storage', message, hint: 'Snapshots and restores need room there.' }
      : { status: 'ok', check: 'default-storage', message };
  }

  async #leftovers(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const count = await this.reconciler.countLeftovers(signal);
    if (count === 0) return [{ status: 'ok', check: 'leftovers', message: 'Nothing is left of earlier runs.' }];
    const message = `${count} objects are left of runs that were interrupted.`;
    return [{ status: 'warning', check: 'leftovers', message, hint: 'Run reconcile to remove them.' }];
  }
}

/** What can't be looked at is a finding, too. */
async function findings(check: string, look: Look, signal: AbortSignal): Promise<readonly CheckLine[]> {
  try {
    return await look(signal);
  } catch (error) {
    if (signal.aborted) throw error;
    // Releases before 8.2 have no certificates to show (facts 2).
    if (isXapiError(error, 'MESSAGE_METHOD_UNKNOWN')) return [];
    const { message, hint } = toBackupError(error);
    return [{ status: 'error', check, message, ...(hint === undefined ? {} : { hint }) }];
  }
}
