import { formatBytes } from '../../common/byte-size.js';
import { type ItemCompleted, type Progress } from '../../contract/index.js';
import { formatDuration } from './format-duration.js';
import {
  formatLevel,
  formatProgress,
  formatSpeed,
  type OperationEvent,
  percentOf,
  type ProgressView,
} from './progress-view.js';
import { RateMeter } from './rate-meter.js';

const PROGRESS_EVERY_MS = 5000;

interface ItemState {
  readonly meter: RateMeter;
  readonly startedAtMs: number;
  saidAtMs: number;
}

/** Progress for a pipe or a log file: whole lines, and not many of them. */
export class LineView implements ProgressView {
  readonly #items = new Map<string, ItemState>();

  constructor(
    private readonly label: string,
    private readonly writeLine: (line: string) => void,
    private readonly writeLog: (line: string) => void,
  ) {}

  onEvent(event: OperationEvent): void {
    switch (event.type) {
      case 'phase-entered':
        this.#say(event.phase);
        break;
      case 'level-decided':
        this.#say(formatLevel(event));
        break;
      case 'item-started': {
        const { atMs } = event;
        this.#items.set(event.item, { meter: new RateMeter(), startedAtMs: atMs, saidAtMs: atMs });
        this.#say(`${event.item}: started`);
        break;
      }
      case 'progress':
        this.#onProgress(event);
        break;
      case 'item-completed':
        this.#onCompleted(event);
        break;
      case 'warning':
        this.#say(`warning ${event.code}: ${event.message}`);
        break;
      case 'completed':
        break;
    }
  }

  log(line: string): void {
    this.writeLog(line);
  }

  close(): void {
    // Every line is complete already.
  }

  #onProgress({ atMs, item, itemProgress }: Progress): void {
    const state = this.#items.get(item);
    if (state === undefined) return;
    state.meter.add(atMs, itemProgress.doneBytes);
    if (atMs - state.saidAtMs < PROGRESS_EVERY_MS) return;
    state.saidAtMs = atMs;
    const percent = percentOf(itemProgress);
    const share = percent === undefined ? '' : ` (${percent} %)`;
    const speed = formatSpeed(state.meter, itemProgress.expectedBytes);
    this.#say(`${item}: ${formatProgress(itemProgress)}${share}${speed === '' ? '' : `, ${speed}`}`);
  }

  #onCompleted({ atMs, item, bytes }: ItemCompleted): void {
    const since = this.#items.get(item)?.startedAtMs ?? atMs;
    this.#say(`${item}: ${formatBytes(bytes)} in ${formatDuration(atMs - since)}`);
  }

  #say(text: string): void {
    this.writeLine(`${this.label}: ${text}`);
  }
}
