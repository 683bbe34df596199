import { type CliOutput } from './cli-output.js';
import { BarView } from '../progress/bar-view.js';
import { JsonView } from '../progress/json-view.js';
import { LineView } from '../progress/line-view.js';
import { type ProgressView } from '../progress/progress-view.js';
import { withoutControls } from './cli-output.js';

/** JSON when asked for, bars on a terminal, lines in a pipe and when several operations speak at once. */
export function viewFor(
  output: CliOutput,
  label: string,
  labels: Readonly<Record<string, string>>,
  isAlone = true,
): ProgressView {
  const plain = withoutControls(label);
  if (output.isJson) return new JsonView(labels, output.json, output.note);
  if (output.isTerminal && isAlone) return new BarView(plain, output.stream, output.paint);
  return new LineView(plain, output.line, output.note);
}
