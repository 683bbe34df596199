import { createHash } from 'node:crypto';
import { Writable } from 'node:stream';
import { inject, injectable } from 'inversify';
import { type CleanupStack } from '../common/cleanup-stack.js';
import { Clock } from '../common/clock.js';
import { BackupError, type OpenedItem, type RestoreMedia } from '../contract/index.js';
import { MAX_VHD_DISK_BYTES } from '../format/vhd-structures.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { repeatLostStep } from '../session/lost-step.js';
import { OwnObjects } from '../session/own-objects.js';
import { type HandlerTask, PoolConnection } from '../session/pool-connection.js';
import { RUN_MARK_KEY, runMark, type RunIdentity, temporaryName } from '../session/run-marks.js';
import { runProcess } from '../session/run-process.js';
import { checkedData } from '../transfer/checked-stream.js';
import { DiskDigest } from '../transfer/disk-digest.js';
import { type ProgressMeter } from '../transfer/progress-meter.js';
import { pump } from '../transfer/pump.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { type RefOf } from '../xapi/xapi-records.js';
import { readSavedDisk } from './disk-reader.js';
import { type DiskRestorePlan } from './disk-restore-plan.js';

/** After an import that broke off the pool has the disk in use for a moment; then it can be removed at once. */
const POOL_CLEANUP_WAIT_MS = 10_000;

export interface DiskImportOrder {
  readonly plan: DiskRestorePlan;
  readonly run: RunIdentity;
  readonly media: RestoreMedia;
  readonly meter: ProgressMeter;
  readonly signal: AbortSignal;
}

/** A disk that has all of its data, and still our mark. */
export interface ImportedDisk {
  readonly ref: RefOf<'VDI'>;
  readonly uuid: string;
  /** Gives it its name and takes our mark off: from now on it stays. */
  readonly keep: () => Promise<void>;
}

/**
 * Makes a new disk of a saved one. It goes as a dynamic VHD, which carries only what is there and which the pool refuses
 * when its end is missing; a disk that is too large for that goes raw. The last 64 KiB leave only when all that the disk is
 * made of has proved right.
 */
@injectable()
export class DiskImporter {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(OwnObjects) private readonly own: OwnObjects,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  /** The removal of all that is made is on `cleanup` until `keep` has been called. */
  async import(order: DiskImportOrder, cleanup: CleanupStack, onVerify: () => void): Promise<ImportedDisk> {
    const { plan, run, signal } = order;
    const { saved, forceHttps, name, comparesContent } = plan.wish;
    const undo = (): Promise<void> => this.own.destroyImported(run.runId);
    const forget = cleanup.add(`disk "${name}"`, undo);
    const { ref, alive, format, sent } = await repeatLostStep(this.pool, { signal, undo }, () =>
      this.#make(order, cleanup),
    );
    onVerify();
    const { uuid, virtual_size: sizeBytes } = await this.pool.record('VDI', ref, { signal });
    if (sizeBytes < saved.sizeBytes) throw otherSize(saved.sizeBytes, sizeBytes);
    if (comparesContent) {
      const found = await repeatLostStep(this.pool, { signal }, async () => {
        const digest = new DiskDigest(format, format === 'vhd' ? sizeBytes : undefined);
        await this.#read({ ref, format, digest, forceHttps }, cleanup, signal);
        return digest;
      });
      if (found.hex() !== sent.hex()) throw otherContent(name);
    }
    return {
      ref,
      uuid,
      keep: async () => {
        alive.abort();
        await this.pool.call('VDI.set_name_label', [ref, name], { isIdempotent: true });
        await this.own.unmark('VDI', ref);
        forget();
      },
    };
  }

  /** A new disk with all of its data. */
  async #make(order: DiskImportOrder, cleanup: CleanupStack): Promise<MadeDisk> {
    const { plan, run, media, signal } = order;
    const { saved } = plan.wish;
    const format = saved.sizeBytes > MAX_VHD_DISK_BYTES ? 'raw' : 'vhd';
    // Before anything is made: a chain that is broken ends here.
    const opened = await readSavedDisk({ disk: saved.position, format, signal }, media);
    cleanup.add('data of the disk', () => opened.stream.destroy());
    const ref = await this.#create(order);
    const alive = new AbortController();
    cleanup.add('lease of the disk', () => {
      alive.abort();
    });
    void this.own.keepAlive('VDI', ref, run, 'import', alive.signal);
    const sent = new DiskDigest(format);
    await this.#send(order, { ref, format, opened, digest: sent }, cleanup);
    return { ref, alive, format, sent };
  }

  async #create({ plan, run, signal }: DiskImportOrder): Promise<RefOf<'VDI'>> {
    const { disk, saved, name } = plan.wish;
    const record = {
      name_label: temporaryName(run.runId, name),
      name_description: disk.description,
      SR: plan.storage.ref,
      virtual_size: saved.sizeBytes,
      type: 'user',
      sharable: false,
      read_only: false,
      other_config: { [RUN_MARK_KEY]: runMark({ process: runProcess(), ...run }, 'import', this.clock.nowMs()) },
    };
    return (await this.pool.callTask('VDI.create', [record], { signal })) as RefOf<'VDI'>;
  }

  async #send(
    { plan, meter, signal }: DiskImportOrder,
    { ref, format, opened, digest }: DiskData & { readonly opened: OpenedItem },
    cleanup: CleanupStack,
  ): Promise<void> {
    const { saved, forceHttps, name } = plan.wish;
    const { bytes } = opened;
    const { item } = saved;
    meter.start({ item, title: name, expectedBytes: bytes, expectedIs: 'exact' });
    const task = await this.#task('xen-backup disk import', name, cleanup, signal);
    const sha256 = createHash('sha256');
    const check = {
      push: (chunk: Buffer) => {
        meter.add(item, chunk.length);
        sha256.update(chunk);
        digest.push(chunk);
      },
      end: () => {
        digest.end();
      },
    };
    const body = checkedData(opened.stream, check);
    cleanup.add('data on its way', () => body.destroy());
    const query = { vdi: ref, format };
    try {
      await this.pool.upload({ path: '/import_raw_vdi', query, body, bytes, task, signal, forceHttps });
    } catch (error) {
      if (!isXapiError(error) && body.readableDidRead) await task.settled(POOL_CLEANUP_WAIT_MS);
      throw error;
    }
    meter.complete(item, { bytes, sha256: sha256.digest('hex') });
  }

  /** Reads what the pool has now. */
  async #read(
    { ref, format, digest, forceHttps }: DiskData & { readonly forceHttps: boolean },
    cleanup: CleanupStack,
    signal: AbortSignal,
  ): Promise<void> {
    const task = await this.#task('xen-backup disk check', ref, cleanup, signal);
    const query = { vdi: ref, format };
    const source = await this.pool.download({ path: '/export_raw_vdi', query, task, signal, forceHttps });
    cleanup.add('data read again', () => source.destroy());
    const { firstByteTimeoutMs, idleTimeoutMs } = this.settings;
    await pump({
      source,
      sink: nowhere(),
      taps: [
        (chunk) => {
          digest.push(chunk);
        },
      ],
      signal,
      clock: this.clock,
      firstByteTimeoutMs,
      idleTimeoutMs,
      beforeEnd: async () => {
        digest.end();
        await task.verdict;
      },
    });
  }

  async #task(label: string, title: string, cleanup: CleanupStack, signal: AbortSignal): Promise<HandlerTask> {
    const task = await this.pool.createTask(label, title, signal);
    cleanup.add(`task "${label}"`, () => task.release());
    return task;
  }
}

interface MadeDisk extends Pick<DiskData, 'ref' | 'format'> {
  readonly alive: AbortController;
  readonly sent: DiskDigest;
}

interface DiskData {
  readonly ref: RefOf<'VDI'>;
  readonly format: 'raw' | 'vhd';
  readonly digest: DiskDigest;
}

/** Takes all and keeps nothing. */
function nowhere(): Writable {
  return new Writable({
    write: (_chunk, _encoding, done) => {
      done();
    },
  });
}

function otherSize(expectedBytes: number, foundBytes: number): BackupError {
  return new BackupError('RESTORE_FAILED', 'The pool has made a disk that is smaller than the saved one.', {
    hint: 'Look at the log of the pool, or name another storage.',
    context: { expectedBytes, foundBytes },
  });
}

function otherContent(name: string): BackupError {
  return new BackupError('RESTORE_FAILED', `The disk "${name}" does not hold what was sent to it.`, {
    hint: 'The storage or the way to it loses data. Look at its log, or name another storage.',
  });
}
