import { expect } from 'chai';
import { request } from 'undici';
import { capturedJson } from './captured-fixtures.js';
import { textOf } from '../../../src/simulator/wire/wire-value.js';
import { startCapturedWorld } from './captured-world.js';
import { Comparison } from './comparison.js';
import { REQUESTS } from './error-cases.js';
import { surprisesIn } from './known-differences.js';

interface CapturedCase {
  readonly case: string;
  readonly r: { readonly ok?: string };
}

interface Page {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** As much of it as was written down. */
  readonly body: string;
}

describe('wrong requests', () => {
  it('get the status and headers that a real XAPI 24.19.2 gives them', async () => {
    const comparison = new Comparison();
    const world = await startCapturedWorld(comparison);
    const { client, pool } = world;
    const [vdi] = pool.pool.store.all('VDI').map(([ref]) => ref);
    const cases = capturedJson('error-answers') as readonly CapturedCase[];
    try {
      const vm = pool.pool.store.all('VM').find(([, record]) => record.name_label === 'vmA');
      const basic = `${pool.username}:${pool.password}`;
      for (const [name, { method = 'GET', target, authorization }] of Object.entries(REQUESTS)) {
        const captured = pageOf(cases.find((one) => one.case === name)?.r.ok ?? '');
        const path = target
          .replace('<session>', client.session)
          .replace('<vdi>', vdi ?? '')
          .replace('<vm uuid>', textOf(vm?.[1] ?? {}, 'uuid'));
        const credentials = authorization?.replace('<basic>', basic);
        const answer = await request(`${pool.httpUrl}${path}`, {
          method,
          body: method === 'POST' ? 'garbage' : null,
          headers: credentials === undefined ? {} : { authorization: `Basic ${btoa(credentials)}` },
        });
        const body = await answer.body.text();
        comparison.steps += 1;
        comparison.compare(`pages: ${name}.status`, captured.status, answer.statusCode);
        comparison.compare(`pages: ${name}.body`, captured.body, body.slice(0, captured.body.length));
        for (const [header, value] of Object.entries(captured.headers)) {
          comparison.compare(`pages: ${name}.${header}`, value, answer.headers[header.toLowerCase()]);
        }
      }
    } finally {
      await pool.close();
    }
    expect(surprisesIn('pages', comparison)).to.deep.equal([]);
    expect(comparison.steps).to.equal(21);
    expect(comparison.fields).to.be.greaterThan(65);
  });
});

/** From the text that the capturing client made of an answer: status, headers and some of the body. */
function pageOf(text: string): Page {
  const pairs = [...text.matchAll(/'([\w-]+)': '([^']*)'/g)].map(([, name = '', value = '']) => [name, value] as const);
  const body = (/\}, '(.*)$/s.exec(text)?.[1] ?? '').replace(/'\]$/, '').replaceAll('\\n', '\n');
  return { status: Number(/^\[(\d+)/.exec(text)?.[1]), headers: Object.fromEntries(pairs), body };
}
