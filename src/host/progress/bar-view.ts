import { MultiBar, type SingleBar } from 'cli-progress';
import { formatBytes } from '../../common/byte-size.js';
import { type ByteProgress } from '../../contract/index.js';
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

const BAR_CELLS = 24;
const NAME_CELLS = 22;
const SPINNER_CELLS = 4;

interface ItemState {
  readonly bar: SingleBar;
  readonly title: string;
  readonly meter: RateMeter;
  readonly startedAtMs: number;
  progress: ByteProgress;
  endedAtMs: number | undefined;
}

/** Progress for a terminal: a line for the operation and its phase, and below it a bar for each item. */
export class BarView implements ProgressView {
  readonly #bars: MultiBar;
  readonly #items = new Map<string, ItemState>();
  #phase = 'start';

  constructor(
    private readonly label: string,
    stream: NodeJS.WritableStream,
    private readonly paint: (style: 'bold' | 'dim' | 'green' | 'yellow', text: string) => string,
  ) {
    this.#bars = new MultiBar({
      stream,
      format: (_options, _parameters, payload: { line?: () => string }) => payload.line?.() ?? '',
      hideCursor: true,
      forceRedraw: true,
      emptyOnZero: true,
      fps: 8,
    });
    this.#create(() => `${this.paint('bold', this.label)}  ${this.paint('dim', this.#phase)}`);
  }

  onEvent(event: OperationEvent): void {
    switch (event.type) {
      case 'phase-entered':
        this.#phase = event.phase;
        break;
      case 'item-started':
        this.#start(event.item, event.title, event.progress, event.atMs);
        break;
      case 'progress': {
        const state = this.#items.get(event.item);
        if (state === undefined) break;
        state.progress = event.itemProgress;
        state.meter.add(event.atMs, event.itemProgress.doneBytes);
        break;
      }
      case 'item-completed': {
        const state = this.#items.get(event.item);
        if (state === undefined) break;
        state.progress = { doneBytes: event.bytes, expectedBytes: event.bytes, expectedIs: 'exact' };
        state.endedAtMs = event.atMs;
        break;
      }
      case 'warning':
        this.log(`${this.paint('yellow', `warning ${event.code}:`)} ${event.message}`);
        break;
      case 'completed':
        this.#phase = 'done';
        break;
      case 'level-decided':
        if (event.level === 'full') break;
        this.log(formatLevel(event));
        break;
    }
  }

  log(line: string): void {
    this.#bars.log(`${line}\n`);
  }

  close(): void {
    // Lines that were logged since the last redraw are shown by one more.
    this.#bars.update();
    this.#bars.stop();
  }

  #start(item: string, title: string, progress: ByteProgress, atMs: number): void {
    const meter = new RateMeter();
    meter.add(atMs, 0);
    const bar = this.#create(() => {
      const state = this.#items.get(item);
      return state === undefined ? '' : this.#itemLine(state);
    });
    this.#items.set(item, { bar, title, meter, startedAtMs: atMs, progress, endedAtMs: undefined });
  }

  #itemLine({ title, meter, progress, startedAtMs, endedAtMs }: ItemState): string {
    const name = fitted(title, NAME_CELLS);
    if (endedAtMs !== undefined) {
      const sum = `${formatBytes(progress.doneBytes)} in ${formatDuration(endedAtMs - startedAtMs)}`;
      return `  ${name}  ${this.paint('green', '━'.repeat(BAR_CELLS))}  100 %  ${sum}`;
    }
    const percent = percentOf(progress);
    const share = percent === undefined ? '    ?' : `${String(percent).padStart(3)} %`;
    const speed = formatSpeed(meter, progress.expectedBytes);
    const rest = [formatProgress(progress), ...(speed === '' ? [] : [speed])].join(', ');
    return `  ${name}  ${this.#barOf(percent, progress.doneBytes)}  ${share}  ${rest}`;
  }

  /** Without a known end a short stretch wanders along, moved by the bytes. */
  #barOf(percent: number | undefined, doneBytes: number): string {
    if (percent !== undefined) {
      const full = Math.floor((percent * BAR_CELLS) / 100);
      return this.paint('green', '━'.repeat(full)) + this.paint('dim', '─'.repeat(BAR_CELLS - full));
    }
    const at = Math.floor(doneBytes / (8 * 1024 * 1024)) % (BAR_CELLS - SPINNER_CELLS + 1);
    const rest = BAR_CELLS - SPINNER_CELLS - at;
    return (
      this.paint('dim', '─'.repeat(at)) +
      this.paint('green', '━'.repeat(SPINNER_CELLS)) +
      this.paint('dim', '─'.repeat(rest))
    );
  }

  #create(line: () => string): SingleBar {
    return this.#bars.create(1, 0, { line });
  }
}

/** Padded or cut to a number of cells. */
function fitted(text: string, cells: number): string {
  return text.length > cells ? `${text.slice(0, cells - 1)}…` : text.padEnd(cells);
}
