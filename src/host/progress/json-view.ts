import { type OperationEvent, type ProgressView } from './progress-view.js';
import { type Transferred } from './transfer-summary.js';

/** One JSON event a line, each with the labels of its operation. */
export class JsonView implements ProgressView {
  constructor(
    private readonly labels: Readonly<Record<string, string>>,
    private readonly writeJson: (value: unknown) => void,
    private readonly writeLog: (line: string) => void,
  ) {}

  onEvent(event: OperationEvent): void {
    const rate = event.type === 'completed' ? rateOf(event.report) : {};
    this.writeJson({ ...event, ...rate, ...this.labels });
  }

  log(line: string): void {
    this.writeLog(line);
  }

  close(): void {
    // Nothing is drawn, so there is nothing to put in order.
  }
}

/** Bytes and milliseconds are in the report; what they come to is told beside it. */
function rateOf({ transferredBytes, elapsedMs }: Transferred): { readonly bytesPerSecond?: number } {
  return elapsedMs > 0 ? { bytesPerSecond: Math.round((transferredBytes * 1000) / elapsedMs) } : {};
}
