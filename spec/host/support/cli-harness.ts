import { EventEmitter } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCli } from '../../../src/host/cli/run-cli.js';
import { memoryManifestPath } from '../../contract/support/memory-world.js';
import { CapturedStream } from './captured-stream.js';
import { useTemporaryFolder } from './temporary-folder.js';

let clients = 0;

export interface Outcome {
  readonly code: number;
  readonly out: CapturedStream;
  readonly err: CapturedStream;
  /** What the command asked to leave with, at a second Ctrl-C. */
  readonly left: readonly number[];
}

export interface Call {
  readonly environment?: Readonly<Record<string, string>>;
  readonly isTerminal?: boolean;
  /** Gets the process's signals, to send one at the right moment. */
  readonly onStart?: (signals: EventEmitter, out: CapturedStream) => void;
}

export interface HarnessOptions {
  readonly settings?: object;
  readonly config?: object;
}

const machines = [
  { id: 'm1', name: 'web', isRunning: true, sizeBytes: 300_000, seed: 1 },
  { id: 'm2', name: 'db', sizeBytes: 200_000, seed: 2 },
  { id: 'm3', name: 'odd one', isRunning: true, sizeBytes: 10, seed: 3 },
  { id: 't1', name: 'twin', sizeBytes: 1, seed: 4 },
  { id: 't2', name: 'twin', sizeBytes: 1, seed: 5 },
];

/** The command line in this process, with the memory source, in a folder of its own. */
export class CliHarness {
  readonly clientName: string;
  readonly repository: string;

  constructor(
    readonly folder: string,
    { settings = {}, config = {} }: HarnessOptions = {},
  ) {
    clients += 1;
    this.clientName = `cli-${clients}`;
    this.repository = join(folder, 'repo');
    mkdirSync(folder, { recursive: true });
    const client = { settings: { machines, ...settings } };
    const text = {
      repository: 'repo',
      plugins: [memoryManifestPath],
      clients: { [this.clientName]: client },
      ...config,
    };
    writeFileSync(join(folder, 'xen-backup.config.json'), JSON.stringify(text, undefined, 2));
  }

  async run(args: readonly string[], { environment = {}, isTerminal = false, onStart }: Call = {}): Promise<Outcome> {
    const out = new CapturedStream(isTerminal);
    const err = new CapturedStream(isTerminal);
    const signals = new EventEmitter();
    const left: number[] = [];
    onStart?.(signals, out);
    const code = await runCli(args, {
      out,
      err,
      environment,
      workingFolder: this.folder,
      signals,
      exit: (exitCode) => left.push(exitCode),
    });
    return { code, out, err, left };
  }

  /** Backs a source up and gives the saveset's id. */
  async save(source: string): Promise<string> {
    const { out } = await this.run(['backup', source, '--json']);
    return (out.events.at(-1) as { savesetId: string }).savesetId;
  }
}

/** The command line in a new folder for each spec of the suite it is called in. */
export function useCliHarness(): {
  readonly folder: () => string;
  readonly harness: (options?: HarnessOptions) => CliHarness;
} {
  const folder = useTemporaryFolder();
  return { folder, harness: (options) => new CliHarness(folder(), options) };
}
