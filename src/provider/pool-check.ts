import { inject, injectable } from 'inversify';
import { Clock } from '../common/clock.js';
import { type CheckLine } from '../contract/index.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { PoolConnection } from '../session/pool-connection.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { carriesNbd } from '../xapi/nbd-endpoint.js';
import { isNullRef, type RefOf } from '../xapi/xapi-records.js';
import { licenceFinding, roleFinding, transportFindings } from './account-findings.js';
import { MemberSurvey } from './member-survey.js';
import { clockFindings, expiryFindings, memberFinding, reachFindings } from './member-findings.js';
import { bondFindings, nbdFinding, subnetFindings } from './network-findings.js';
import { Reconciler } from './reconciler.js';
import { isForDisks, storageFindings } from './storage-findings.js';
import { toBackupError } from './to-backup-error.js';

type Look = (signal: AbortSignal) => Promise<readonly CheckLine[]>;

/**
 * Looks at everything that a backup or a restore will need. What it finds are lines; it never rejects for a finding.
 * Here is only the reading: what the facts mean is decided in the `*-findings` files.
 */
@injectable()
export class PoolCheck {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(MemberSurvey) private readonly survey: MemberSurvey,
    @inject(Reconciler) private readonly reconciler: Reconciler,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  async run(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const looks: readonly (readonly [check: string, look: Look])[] = [
      ['login', () => Promise.resolve(this.#login())],
      ['role', (all) => this.#account(all)],
      ['licence', (all) => this.#licence(all)],
      ['member', (all) => this.#members(all)],
      ['clock', async (all) => clockFindings(await this.survey.clocks(all))],
      ['network', (all) => this.#networks(all)],
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
    const name = members[0]?.name ?? coordinatorAddress;
    return [
      { status: 'ok', check: 'login', message: `Logged in as ${username}.` },
      { status: 'ok', check: 'coordinator', message: `The coordinator is ${name} (${coordinatorAddress}).` },
    ];
  }

  async #account(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const session = await this.pool.ownSession({ signal });
    const roles = isNullRef(session.subject)
      ? []
      : (await this.pool.record('subject', session.subject, { signal })).roles;
    const records = await Promise.all(roles.map((ref) => this.pool.record('role', ref, { signal })));
    return [
      roleFinding({
        username: this.settings.credentials.username,
        isLocalSuperuser: session.is_local_superuser,
        roles: records.map((role) => role.name_label),
      }),
    ];
  }

  async #licence(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const [pool] = [...(await this.pool.allRecords('pool', { signal })).values()];
    return pool === undefined ? [] : [licenceFinding(pool.restrictions)];
  }

  async #members(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const members = await this.survey.members(signal);
    const httpsOnly = members.filter(({ isHttpsOnly }) => isHttpsOnly).map(({ name }) => name);
    const live = members.filter(({ isLive }) => isLive);
    const sightings = await Promise.all(live.map((member) => this.survey.reach(member, signal)));
    return [
      ...transportFindings(this.settings.dataTransport, httpsOnly),
      ...members.map(memberFinding),
      ...live.flatMap((member, index) => {
        const seen = sightings[index];
        return seen === undefined ? [] : reachFindings(member, seen);
      }),
      ...members.flatMap((member) => expiryFindings(member, sightings[live.indexOf(member)], this.clock.nowMs())),
    ];
  }

  async #networks(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const [hosts, interfaces, bonds, networks] = await Promise.all([
      this.pool.allRecords('host', { signal }),
      this.pool.allRecords('PIF', { signal }),
      this.pool.allRecords('Bond', { signal }),
      this.pool.allRecords('network', { signal }),
    ]);
    const hostName = (ref: RefOf<'host'> | undefined): string =>
      (ref === undefined ? undefined : hosts.get(ref)?.name_label) ?? 'a host';
    const shared = subnetFindings(
      [...interfaces.values()].map((one) => ({
        host: hostName(one.host),
        device: one.VLAN >= 0 ? `${one.device} VLAN ${one.VLAN}` : one.device,
        uuid: one.uuid,
        isManagement: one.management,
        isAttached: one.currently_attached,
        address: one.IP,
        netmask: one.netmask,
      })),
    );
    const bonded = bondFindings(
      [...bonds.values()].map((bond) => {
        const master = interfaces.get(bond.master);
        return {
          host: hostName(master?.host),
          device: master?.device ?? 'bond',
          interfaceUuid: master?.uuid ?? '',
          mode: bond.mode,
          cardCount: bond.slaves.length,
          linksUp: bond.links_up,
        };
      }),
    );
    const isPlainAllowed = this.settings.dataTransport === 'http';
    const hasNbd = [...networks.values()].some(({ purpose }) => carriesNbd(purpose, isPlainAllowed));
    return [...shared, ...bonded, nbdFinding(hasNbd)];
  }

  async #storage(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const [pool] = [...(await this.pool.allRecords('pool', { signal })).values()];
    const before = await this.pool.allRecords('SR', { signal });
    const [hosts, links] = await Promise.all([
      this.pool.allRecords('host', { signal }),
      this.pool.allRecords('PBD', { signal }),
    ]);
    const attached = new Set([...links.values()].filter((link) => link.currently_attached).map(({ SR }) => SR));
    const scanned = await this.#scan(
      [...before].filter(([ref, record]) => attached.has(ref) && isForDisks(record)),
      signal,
    );
    const storages = await this.pool.allRecords('SR', { signal });
    const facts = [...storages]
      .filter(([ref]) => [...links.values()].some(({ SR }) => SR === ref))
      .map(([ref, record]) => ({
        record,
        isDefault: ref === pool?.default_SR,
        detachedFrom: [...links.values()]
          .filter((link) => link.SR === ref && !link.currently_attached)
          .map((link) => hosts.get(link.host)?.name_label ?? 'a host'),
      }));
    return [...scanned, ...storageFindings(facts)];
  }

  /** Fresh numbers: some storages only count when they are asked to (S60). Gives a line for each that fails. */
  async #scan(
    storages: readonly (readonly [RefOf<'SR'>, { readonly name_label: string }])[],
    signal: AbortSignal,
  ): Promise<readonly CheckLine[]> {
    const lines: CheckLine[] = [];
    for (const [ref, { name_label: name }] of storages) {
      try {
        await this.pool.callTask('SR.scan', [ref], { signal });
      } catch (error) {
        signal.throwIfAborted();
        // The line about the role has said it; the numbers are those that the pool has.
        if (isXapiError(error, 'RBAC_PERMISSION_DENIED')) return lines;
        const line = lineOf('storage', error);
        lines.push({
          ...line,
          message: `The storage "${name}" can't be scanned, so its numbers may be old: ${line.message}`,
        });
      }
    }
    return lines;
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
    // Old releases don't have everything that is looked at (facts 2 and 11).
    if (isXapiError(error, 'MESSAGE_METHOD_UNKNOWN', 'MESSAGE_REMOVED')) return [];
    return [lineOf(check, error)];
  }
}

function lineOf(check: string, error: unknown): CheckLine {
  const { message, hint } = toBackupError(error);
  return { status: 'error', check, message, ...(hint === undefined ? {} : { hint }) };
}
