import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { packageRoot } from '../src/common/package-root.js';
import { type PoolDefinition } from '../src/simulator/index.js';
import { type PoolAnswer, type PoolStart } from './pool-messages.js';
import { BenchError } from './programs.js';

const SERVER = join(packageRoot(), 'dist', 'bench', 'pool-server.js');

export interface PoolAddress {
  readonly url: string;
  readonly httpUrl: string;
  readonly username: string;
  readonly password: string;
  readonly fingerprint256: string;
}

/** A simulated pool that runs in another process. */
export class PoolProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: PoolAnswer) => void>();
  #lastId = 0;
  #address: PoolAddress | undefined;

  private constructor() {
    this.#child = fork(SERVER, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#child.on('message', (answer: PoolAnswer) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    this.#child.once('exit', () => {
      for (const [id, settle] of this.#waiting) settle({ id, error: 'the simulated pool has ended' });
      this.#waiting.clear();
    });
  }

  static async start(definition: PoolDefinition | string): Promise<PoolProcess> {
    const pool = new PoolProcess();
    const started = pool.#answerTo(0);
    pool.#child.send({ definition } satisfies PoolStart);
    pool.#address = (await started) as PoolAddress;
    return pool;
  }

  get address(): PoolAddress {
    if (this.#address === undefined) throw new BenchError('The simulated pool has not started.');
    return this.#address;
  }

  /** An operation of the control port. */
  async perform(operation: string, input: object = {}): Promise<unknown> {
    this.#lastId += 1;
    const answered = this.#answerTo(this.#lastId);
    this.#child.send({ id: this.#lastId, operation, input });
    return await answered;
  }

  /** The XAPI calls since the last time, by name. */
  async calls(): Promise<readonly string[]> {
    return (await this.perform('calls')) as readonly string[];
  }

  /** CPU time that it has used so far. */
  async cpuSeconds(): Promise<number> {
    const { userCPUTime, systemCPUTime } = (await this.perform('usage')) as NodeJS.ResourceUsage;
    return (userCPUTime + systemCPUTime) / 1e6;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }

  #answerTo(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        if (error === undefined) resolve(result);
        else reject(new BenchError(error));
      });
    });
  }
}
