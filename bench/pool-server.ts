import { startSimulatedPool } from '../src/simulator/index.js';
import { type PoolAnswer, type PoolQuestion, type PoolStart } from './pool-messages.js';

/**
 * A simulated pool as a process of its own, so that its work is not counted as ours. Its parent sends the definition
 * first; then questions, each with an id. It ends with its parent.
 */
async function serve({ definition }: PoolStart): Promise<void> {
  const running = await startSimulatedPool({ poolFile: definition });
  let calls: string[] = [];
  const { faults } = running.pool;
  const original = faults.forCall.bind(faults);
  faults.forCall = (call) => {
    calls.push(call);
    return original(call);
  };
  process.on('message', (question: PoolQuestion) => {
    void answer(question);
  });
  const reply = (message: PoolAnswer): void => {
    process.send?.(message);
  };
  const answer = async ({ id, operation, input }: PoolQuestion): Promise<void> => {
    try {
      if (operation === 'calls') {
        reply({ id, result: calls });
        calls = [];
      } else if (operation === 'usage') {
        reply({ id, result: process.resourceUsage() });
      } else {
        reply({ id, result: (await running.perform(operation, input)) ?? {} });
      }
    } catch (error) {
      reply({ id, error: error instanceof Error ? error.message : String(error) });
    }
  };
  const { url, httpUrl, username, password, fingerprint256 } = running;
  reply({ id: 0, result: { url, httpUrl, username, password, fingerprint256 } });
}

// Ctrl-C goes to the whole group; the parent says when it is over.
process.on('SIGINT', () => undefined);
process.once('disconnect', () => process.exit(0));
process.once('message', (start: PoolStart) => {
  void serve(start);
});
