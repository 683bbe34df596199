import { type OperationEvent, type ProgressView } from './progress-view.js';

/** One JSON event a line, each with the labels of its operation. */
export class JsonView implements ProgressView {
  constructor(
    private readonly labels: Readonly<Record<string, string>>,
    private readonly writeJson: (value: unknown) => void,
    private readonly writeLog: (line: string) => void,
  ) {}

  onEvent(event: OperationEvent): void {
    this.writeJson({ ...event, ...this.labels });
  }

  log(line: string): void {
    this.writeLog(line);
  }

  close(): void {
    // Nothing is drawn, so there is nothing to put in order.
  }
}
