import { expect } from 'chai';
import { request } from 'undici';
import { setOf, textOf } from '../../../src/simulator/wire/wire-value.js';
import { capturedJson } from './captured-fixtures.js';
import { type CapturedWorld, startCapturedWorld } from './captured-world.js';
import { Comparison } from './comparison.js';
import { type Call, CALLS, ENVELOPES, NETWORK, REQUESTS, SR, VDI, VDI_UUID, VM, VM_UUID } from './error-cases.js';
import { notReplayed, surprisesIn } from './known-differences.js';

interface CapturedCase {
  readonly case: string;
  readonly r: Readonly<Record<string, unknown>> & { readonly error?: readonly string[]; readonly ok?: string };
}

/** `add_to` of a key that is there: the capture had set another one before. */
const OWN_KEYS: Readonly<Record<string, string>> = { k: 'mac_seed' };

const CASES = capturedJson('error-answers') as readonly CapturedCase[];

function caseOf(name: string): CapturedCase['r'] {
  return CASES.find((one) => one.case === name)?.r ?? {};
}

describe('wrong calls', () => {
  let world: CapturedWorld;
  const comparison = new Comparison();

  before(async () => {
    world = await startCapturedWorld(comparison);
    const { store } = world.pool.pool;
    const vm = store.all('VM').find(([, record]) => record.name_label === 'vmA');
    const vbd = store.get('VBD', setOf(vm?.[1] ?? {}, 'VBDs')[0] ?? '');
    const vdi = textOf(vbd, 'VDI');
    const pairs: readonly (readonly [string, string])[] = [
      [VM, vm?.[0] ?? ''],
      [VM_UUID, textOf(vm?.[1] ?? {}, 'uuid')],
      [VDI, vdi],
      [VDI_UUID, textOf(store.get('VDI', vdi), 'uuid')],
      [SR, textOf(store.get('VDI', vdi), 'SR')],
      [NETWORK, store.all('network').find(([, record]) => record.name_label === 'net0')?.[0] ?? ''],
    ];
    for (const [captured, own] of pairs) comparison.binding.set(captured, own);
    await world.client.call('VM.start', vm?.[0], false, false);
  });
  after(() => world.pool.close());

  it('are answered as a real XAPI 24.19.2 answers them', async () => {
    const { client, pool } = world;
    const own = (value: unknown): unknown =>
      JSON.parse(
        comparison.binding
          .translate(JSON.stringify(value))
          .replaceAll('<host>', pool.pool.coordinator)
          .replaceAll('<session>', client.session),
      );
    const ask = async ([method, ...params]: Call): Promise<readonly string[]> => {
      const answer = await client.error(method, ...(own(params) as unknown[]));
      if (method.startsWith('Async.') && answer[0] === 'no error') {
        await client.taskEnd(JSON.parse(answer[1] ?? '') as string);
      }
      return answer;
    };
    for (const [name, call] of Object.entries(CALLS)) {
      const captured = caseOf(name);
      comparison.steps += 1;
      comparison.answers += 1;
      const answers: (readonly string[])[] = [];
      for (const one of typeof call[0] === 'string' ? [call as Call] : (call as readonly Call[])) {
        answers.push(await ask(one));
      }
      const last = answers.at(-1) ?? [];
      const error = last[0] === 'no error' ? undefined : last;
      const expected = captured.error?.map((text) => OWN_KEYS[text] ?? text);
      comparison.compare(`errors: ${name}.data`, expected ?? 'none', error ?? 'none');
      if (captured.ok === undefined || error !== undefined) continue;
      const results = answers.map(([, text = '']) => JSON.parse(text) as unknown);
      const isList = captured.ok.startsWith('[') && results.length > 1;
      compareResult(comparison, `errors: ${name}.result`, captured.ok, isList ? results : results.at(-1));
    }
    for (const [name, envelope] of Object.entries(ENVELOPES)) {
      const captured = caseOf(name);
      comparison.steps += 1;
      comparison.answers += 1;
      const { statusCode, body } = await request(`${pool.httpUrl}/jsonrpc`, {
        method: 'POST',
        body: JSON.stringify(own(envelope)),
      });
      const text = await body.text();
      if (captured.http !== undefined) {
        const shown = String(captured.body);
        comparison.compare(`errors: ${name}`, captured, { http: statusCode, body: text.slice(0, shown.length) });
        continue;
      }
      const answer = JSON.parse(text) as { readonly error?: { readonly message: string; readonly data: string[] } };
      if (captured.error !== undefined && Array.isArray(captured.error) && !('id' in captured)) {
        const { message, data } = answer.error ?? { message: 'none', data: [] };
        comparison.compare(`errors: ${name}.data`, captured.error, [message, ...data]);
      } else if (captured.ok === 'None') {
        comparison.compare(`errors: ${name}.error`, undefined, answer.error);
      } else {
        comparison.compare(`errors: ${name}`, captured, answer);
      }
    }
    expect(surprisesIn('errors', comparison)).to.deep.equal([]);
    const names = [...Object.keys(CALLS), ...Object.keys(ENVELOPES), ...Object.keys(REQUESTS)];
    expect([...names, ...notReplayed('errors')].sort()).to.deep.equal(CASES.map((one) => one.case).sort());
    expect(comparison.answers).to.equal(67);
  });
});

/** Against what the capturing client printed of a result, which it cut after 200 characters. */
function compareResult(comparison: Comparison, place: string, captured: string, simulated: unknown): void {
  // Of records it printed the references alone.
  const isListOfKeys = captured.startsWith("['OpaqueRef:") && !Array.isArray(simulated);
  const printed = printedAs(isListOfKeys ? Object.keys(simulated as object) : simulated);
  const words = [...captured.matchAll(/'([A-Za-z]\w*)'(?=[:,\]])/g)].map(([, word = '']) => word);
  const isCut = captured.length >= 200;
  if (!isCut) comparison.compare(place, captured, printed);
  else
    comparison.compare(
      `${place} in part`,
      words,
      words.filter((word) => printed.includes(`'${word}'`)),
    );
}

/** As Python prints it. */
function printedAs(value: unknown, isInside = false): string {
  if (Array.isArray(value)) return `[${value.map((item) => printedAs(item, true)).join(', ')}]`;
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([name, item]) => `'${name}': ${printedAs(item, true)}`);
    return `{${members.join(', ')}}`;
  }
  return isInside && typeof value === 'string' ? `'${value}'` : String(value);
}
