import { connect } from 'node:net';
import { expect } from 'chai';
import { request } from 'undici';
import { type RunningPool, startSimulatedPool } from '../../../src/simulator/index.js';

describe('a host’s web server', () => {
  let pool: RunningPool;

  before(async () => {
    pool = await startSimulatedPool();
  });
  after(() => pool.close());

  /** Sends bytes and collects the answer until the server closes, or until `enough` says so. */
  function exchange(bytes: string | Buffer, enough: (text: string) => boolean = () => false): Promise<string> {
    return new Promise((resolve, reject) => {
      const url = new URL(pool.httpUrl);
      const socket = connect(Number(url.port), url.hostname, () => socket.write(bytes));
      let text = '';
      const done = (): void => {
        socket.destroy();
        resolve(text);
      };
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
        if (enough(text)) done();
      });
      socket.on('end', done);
      socket.on('error', reject);
    });
  }
  const post = (body: string, head = 'POST /jsonrpc HTTP/1.1\r\n'): string =>
    `${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  const login = '{"jsonrpc":"2.0","id":7,"method":"session.login_with_password","params":["root","no"]}';

  it('answers a call with XAPI’s headers in its order', async () => {
    const text = await exchange(post(login), (got) => got.includes('"id":7}'));
    expect(text.split('\r\n\r\n')[0]?.replace(/content-length: \d+/, 'content-length: N')).to.equal(
      [
        'HTTP/1.1 200 OK',
        'content-length: N',
        'connection: keep-alive',
        'cache-control: no-cache, no-store',
        'content-type: application/json',
        'Access-Control-Allow-Origin: *',
        'Access-Control-Allow-Headers: X-Requested-With',
      ].join('\r\n'),
    );
  });

  it('answers pipelined calls in order on one connection', async () => {
    const text = await exchange(post(login) + post(login.replace('7', '8')), (got) => got.includes('"id":8}'));
    expect(text.indexOf('"id":7}')).to.be.greaterThan(0).and.lessThan(text.indexOf('"id":8}'));
  });

  it('answers HTTP/1.0 in kind and closes', async () => {
    const text = await exchange(post(login, 'POST /jsonrpc HTTP/1.0\r\n'));
    expect(text)
      .to.match(/^HTTP\/1\.0 200 OK\r\n/)
      .and.include('connection: close');
  });

  it('routes XML-RPC by the longest prefix, /xmlrpc included', async () => {
    const body =
      '<methodCall><methodName>VM.get_all</methodName><params><param><value>x</value></param></params></methodCall>';
    for (const path of ['/', '/RPC2', '/xmlrpc']) {
      const text = await exchange(post(body, `POST ${path} HTTP/1.1\r\n`), (got) => got.includes('</methodResponse>'));
      expect(text, path).to.include('<value>SESSION_INVALID</value><value>x</value>');
    }
  });

  for (const [what, bytes, expected] of [
    ['a body without a length', 'POST /jsonrpc HTTP/1.1\r\n\r\n', 'We require a content-length: HTTP header'],
    [
      'a chunked body',
      'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'We require a content-length: HTTP header',
    ],
    [
      'a length that is no number',
      'POST / HTTP/1.1\r\nContent-Length: abc\r\n\r\n',
      'Failure(&quot;Int64.of_string&quot;)',
    ],
    [
      'a call of more than 300 KiB',
      'POST / HTTP/1.1\r\nContent-Length: 307201\r\n\r\n',
      'Http_svr.Client_requested_size_over_limit',
    ],
    ['a request line that is none', 'nonsense\r\n\r\n', 'The HTTP headers could not be parsed.'],
    ['an empty body', 'POST /jsonrpc HTTP/1.1\r\nContent-Length: 0\r\n\r\n', 'Blank input data'],
  ] as const) {
    it(`refuses ${what} with a 500 page and closes`, async () => {
      const text = await exchange(bytes);
      expect(text)
        .to.match(/^HTTP\/1\.1 500 Internal Error\r\n/)
        .and.include(expected);
    });
  }

  it('takes a head of 1006 bytes and no more', async () => {
    const head = (length: number): string => {
      const rest = `GET /nosuch HTTP/1.1\r\nConnection: close\r\nX-Pad: \r\n\r\n`;
      return rest.replace('X-Pad: ', `X-Pad: ${'a'.repeat(length - rest.length)}`);
    };
    expect(await exchange(head(1006))).to.match(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(await exchange(head(1007), (got) => got.includes('</html>'))).to.match(/^HTTP\/1\.1 431 /);
  });

  it('asks for credentials in front of a transfer, and names the handler', async () => {
    const { statusCode, headers, body } = await request(`${pool.httpUrl}/export?ref=x`);
    await body.dump();
    expect([statusCode, headers['www-authenticate']]).to.deep.equal([401, 'Basic realm="get_export"']);
  });

  it('shows over TLS the certificate that the pool knows, for its own address', async () => {
    const { Agent } = await import('undici');
    const ca = pool.certificatePem;
    const agent = new Agent({ connect: { ca } });
    const { statusCode, body } = await request(`${pool.url}/nosuch`, { dispatcher: agent });
    await body.dump();
    await agent.close();
    expect(statusCode).to.equal(403);
    const [, certificate] = pool.pool.store.all('Certificate')[0] ?? [];
    expect(certificate?.fingerprint_sha256).to.equal(pool.fingerprint256);
  });
});
