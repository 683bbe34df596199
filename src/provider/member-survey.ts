import { inject, injectable } from 'inversify';
import { Clock } from '../common/clock.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { PoolConnection } from '../session/pool-connection.js';
import { type EndpointSighting, probeEndpoint } from '../xapi/endpoint-probe.js';
import { trustedConnector } from '../xapi/tls-trust.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { text } from '../xapi/record-field.js';
import { type XapiRecordTypes, xapiDateMs } from '../xapi/xapi-records.js';
import { type ClockReading, type MemberFacts } from './member-findings.js';

/** Reads what is to be known of the members of a pool: from their records, their clocks, and their doors. */
@injectable()
export class MemberSurvey {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  async members(signal: AbortSignal): Promise<readonly MemberFacts[]> {
    const [hosts, metrics, certificates] = await Promise.all([
      this.pool.allRecords('host', { signal }),
      this.pool.allRecords('host_metrics', { signal }),
      this.#certificates(signal),
    ]);
    return [...hosts].map(([ref, host]) => {
      const certificate = certificates.find((one) => one.type === 'host' && one.host === ref);
      return {
        name: host.name_label,
        address: host.address,
        isLive: metrics.get(host.metrics)?.live === true,
        isEnabled: host.enabled,
        isHttpsOnly: host.https_only,
        certificate:
          certificate === undefined
            ? undefined
            : {
                fingerprint: certificate.fingerprint_sha256 || certificate.fingerprint,
                endMs: xapiDateMs(certificate.not_after),
              },
      };
    });
  }

  /** Goes to a member as a transfer would. */
  async reach({ address }: MemberFacts, signal: AbortSignal): Promise<EndpointSighting> {
    const { trust, connectTimeoutMs, endpoint } = this.settings;
    return await probeEndpoint(
      { ...endpoint, host: address.replace(/^\[|\]$/g, '') },
      {
        connector: trustedConnector(trust, connectTimeoutMs),
        clock: this.clock,
        timeoutMs: connectTimeoutMs,
        signal,
      },
    );
  }

  /** The clocks of the hosts that answer. */
  async clocks(signal: AbortSignal): Promise<readonly ClockReading[]> {
    const [hosts, metrics] = await Promise.all([
      this.pool.allRecords('host', { signal }),
      this.pool.allRecords('host_metrics', { signal }),
    ]);
    const readings: ClockReading[] = [];
    for (const [ref, host] of hosts) {
      if (metrics.get(host.metrics)?.live !== true) continue;
      const askedMs = this.clock.nowMs();
      const told = text(await this.pool.call('host.get_servertime', [ref], { signal }));
      const middleMs = (askedMs + this.clock.nowMs()) / 2;
      readings.push({ name: host.name_label, offsetMs: xapiDateMs(told) - middleMs });
    }
    return readings;
  }

  /** Releases before 8.2 have no such class (facts 2). */
  async #certificates(signal: AbortSignal): Promise<readonly XapiRecordTypes['Certificate'][]> {
    try {
      return [...(await this.pool.allRecords('Certificate', { signal })).values()];
    } catch (error) {
      if (isXapiError(error, 'MESSAGE_METHOD_UNKNOWN', 'MESSAGE_REMOVED')) return [];
      throw error;
    }
  }
}
