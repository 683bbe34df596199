import { type Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { inject, injectable } from 'inversify';
import { Clock } from '../common/clock.js';
import {
  type HostLogger,
  type RestoreMedia,
  type RestorePhase,
  type RestoreReport,
  type SavesetItem,
} from '../contract/index.js';
import { ConnectionSettings, dataTransportOf } from '../session/connection-settings.js';
import { type ImportRequest, PoolConnection } from '../session/pool-connection.js';
import { RedactedLogger } from '../session/redact.js';
import { type FlowCheck } from '../transfer/checked-stream.js';
import { OperationRun } from '../transfer/operation-run.js';
import { verifiedItemStream } from '../transfer/verified-item.js';
import { type RestoreProgressEvent } from './restore-handler.js';

/** Where an item goes. */
export type ItemTarget = Pick<ImportRequest, 'path' | 'query' | 'member' | 'forceHttps'>;

/** What a handler can do while its restore runs. */
export interface ItemRestore {
  readonly signal: AbortSignal;
  readonly enter: (phase: RestorePhase) => void;
  readonly warn: (code: string, message: string) => void;
  /** Sends an item to the pool, checked on its way; resolves when the pool has taken it. */
  send(item: SavesetItem, check: FlowCheck, target: ItemTarget, title: string): Promise<void>;
  /** Reads an item to its end, with the same checks, and sends it nowhere. */
  read(item: SavesetItem, check: FlowCheck, title: string): Promise<void>;
}

/** What was done to what. */
export interface ItemRestoreOutcome {
  readonly targetId: string;
  readonly targetName: string;
  readonly isTrialOnly: boolean;
}

/** The story of a restore that is one item: plan, check, import, release. */
@injectable()
export class ItemRestoreRunner {
  readonly #logger: HostLogger;

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(Clock) private readonly clock: Clock,
    @inject(RedactedLogger) logger: HostLogger,
  ) {
    this.#logger = logger.child({ part: 'restore' });
  }

  async run(
    media: RestoreMedia,
    emit: (event: RestoreProgressEvent) => void,
    signal: AbortSignal,
    work: (restore: ItemRestore) => Promise<ItemRestoreOutcome>,
  ): Promise<RestoreReport> {
    const run = new OperationRun<RestorePhase>({
      savesetId: media.record.savesetId,
      emit,
      signal,
      clock: this.clock,
      logger: this.#logger,
      leftoverEnding: '',
    });
    const { enter, warn } = run;
    const sent: { dataTransport?: string } = {};
    const outcome = await run.complete(() => {
      enter('plan');
      return work({
        signal,
        enter,
        warn,
        send: (item, check, target, title) => {
          sent.dataTransport = dataTransportOf(this.settings, target.forceHttps ?? false);
          return this.#send({ item, check, title, media, run }, target);
        },
        read: (item, check, title) => this.#read({ item, check, title, media, run }),
      });
    });
    return {
      ...outcome,
      mode: 'overwrite',
      isRunning: false,
      transferredBytes: run.meter.transferredBytes,
      elapsedMs: run.elapsedMs,
      ...sent,
      warnings: run.warnings,
    };
  }

  async #send(order: ItemTransfer, target: ItemTarget): Promise<void> {
    const { item, title, run } = order;
    const { meter, cleanup, signal } = run;
    const body = await this.#open(order);
    const task = await this.pool.createTask('xen-backup restore', title, signal);
    cleanup.add(`task of ${item.name}`, () => task.release());
    await this.pool.upload({ ...target, body, bytes: item.bytes, task, signal });
    meter.complete(item.name, item);
  }

  async #read(order: ItemTransfer): Promise<void> {
    const { item, run } = order;
    const body = await this.#open(order);
    await finished(body.resume());
    run.meter.complete(item.name, item);
  }

  async #open({ item, check, title, media, run }: ItemTransfer): Promise<Readable> {
    const { meter, cleanup, signal } = run;
    const opened = await media.openItem(item.name, signal);
    cleanup.add(`item ${item.name}`, () => opened.stream.destroy());
    meter.start({ item: item.name, title, expectedBytes: item.bytes, expectedIs: 'exact' });
    const stream = verifiedItemStream({
      item: opened,
      expected: item,
      check,
      signal,
      clock: this.clock,
      idleTimeoutMs: this.settings.idleTimeoutMs,
      onBytes: (bytes) => {
        meter.add(item.name, bytes);
      },
    });
    cleanup.add(`data of ${item.name}`, () => stream.destroy());
    return stream;
  }
}

interface ItemTransfer {
  readonly item: SavesetItem;
  readonly check: FlowCheck;
  readonly title: string;
  readonly media: RestoreMedia;
  readonly run: OperationRun<RestorePhase>;
}
