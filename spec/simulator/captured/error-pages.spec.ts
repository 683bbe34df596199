import { expect } from 'chai';
import { request } from 'undici';
import { capturedJson } from './captured-fixtures.js';
import { startCapturedWorld } from './captured-world.js';
import { Comparison } from './comparison.js';
import { surprisesIn } from './known-differences.js';

interface CapturedCase {
  readonly case: string;
  readonly r: { readonly ok?: string };
}

interface Page {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** The requests behind the captured answers; `<session>` is a good one. */
const REQUESTS: Readonly<Record<string, readonly [method: 'GET' | 'HEAD' | 'POST', target: string]>> = {
  'HTTP export no session': ['GET', '/export?uuid=x'],
  'HTTP export bad session': ['GET', '/export?session_id=OpaqueRef:bogus&uuid=x'],
  'HTTP export bad uuid': ['GET', '/export?session_id=<session>&uuid=bogus'],
  'HTTP export no uuid': ['GET', '/export?session_id=<session>'],
  'HTTP xmldbdump no session': ['GET', '/pool/xmldbdump'],
  'HTTP HEAD': ['HEAD', '/export?session_id=<session>'],
  'HTTP unknown': ['GET', '/nosuch'],
  'HTTP root': ['GET', '/'],
  'HTTP get jsonrpc': ['GET', '/jsonrpc'],
  'HTTP export_raw_vdi bad': ['GET', '/export_raw_vdi?session_id=<session>&vdi=bogus'],
  'HTTP export_raw bad fmt': ['GET', '/export_raw_vdi?session_id=<session>&vdi=<vdi>&format=nosuch'],
  'HTTP post garbage': ['POST', '/jsonrpc'],
  'HTTP get_host_logs': ['GET', '/get_host_logs'],
  'HTTP version': ['GET', '/version'],
};

describe('wrong requests', () => {
  it('get the status and headers that a real XAPI 24.19.2 gives them', async () => {
    const comparison = new Comparison();
    const world = await startCapturedWorld(comparison);
    const { client, pool } = world;
    const [vdi] = pool.pool.store.all('VDI').map(([ref]) => ref);
    const cases = capturedJson('error-answers') as readonly CapturedCase[];
    try {
      for (const [name, [method, target]] of Object.entries(REQUESTS)) {
        const captured = pageOf(cases.find((one) => one.case === name)?.r.ok ?? '');
        const path = target.replace('<session>', client.session).replace('<vdi>', vdi ?? '');
        const answer = await request(`${pool.httpUrl}${path}`, { method, body: method === 'POST' ? 'garbage' : null });
        await answer.body.dump();
        comparison.steps += 1;
        comparison.compare(`pages: ${name}.status`, captured.status, answer.statusCode);
        for (const [header, value] of Object.entries(captured.headers)) {
          comparison.compare(`pages: ${name}.${header}`, value, answer.headers[header.toLowerCase()]);
        }
      }
    } finally {
      await pool.close();
    }
    expect(surprisesIn('pages', comparison)).to.deep.equal([]);
    expect(comparison.steps).to.equal(14);
    expect(comparison.fields).to.be.greaterThan(65);
  });
});

/** From the text that the capturing client made of an answer: status, headers and some of the body. */
function pageOf(text: string): Page {
  const pairs = [...text.matchAll(/'([\w-]+)': '([^']*)'/g)].map(([, name = '', value = '']) => [name, value] as const);
  return { status: Number(/^\[(\d+)/.exec(text)?.[1]), headers: Object.fromEntries(pairs) };
}
