import { expect } from 'chai';
import { once } from 'node:events';
import { type AddressInfo, createServer as createPlainServer, type Server } from 'node:net';
import { createServer } from 'node:tls';
import { X509Certificate } from 'node:crypto';
import { generate } from 'selfsigned';
import { CliHarness } from '../support/cli-harness.js';
import { useTemporaryFolder } from '../support/temporary-folder.js';

describe('xen-backup trust', () => {
  const folder = useTemporaryFolder();
  let server: Server | undefined;

  afterEach(async () => {
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    server = undefined;
    await closed;
  });

  async function listen(made: Server): Promise<number> {
    server = made;
    made.listen(0, '127.0.0.1');
    await once(made, 'listening');
    return (made.address() as AddressInfo).port;
  }

  it('shows the fingerprint and how to pin it, and sends nothing', async () => {
    const { private: key, cert } = await generate([{ name: 'commonName', value: 'xen1.example' }], {
      algorithm: 'sha256',
    });
    const received: Buffer[] = [];
    const port = await listen(
      createServer({ key, cert }, (socket) => socket.on('data', (chunk: Buffer) => received.push(chunk))),
    );
    const { fingerprint256 } = new X509Certificate(cert);
    const cli = new CliHarness(folder());
    const { code, out } = await cli.run(['trust', `https://127.0.0.1:${port}`]);
    expect(code).to.equal(0);
    expect(out.text)
      .to.contain(`SHA-256  ${fingerprint256}\n`)
      .and.contain('CN=xen1.example')
      .and.contain('not trusted');
    expect(out.text).to.contain(`"trust": { "fingerprints": ["${fingerprint256}"] }`);
    expect(received).to.deep.equal([]);
    const json = await cli.run(['trust', `localhost:${port}`, '--json']);
    expect(json.out.events[0]).to.include({ type: 'certificate', host: 'localhost', port, fingerprint256 });
  });

  it('fails with SOURCE_UNREACHABLE when nobody answers, or something else does', async () => {
    const port = await listen(
      createPlainServer((socket) =>
        socket
          .on('error', () => undefined)
          .resume()
          .end('220 mail\r\n'),
      ),
    );
    const cli = new CliHarness(folder());
    const mail = await cli.run(['trust', `https://127.0.0.1:${port}`]);
    expect([mail.code, mail.err.text.split(':')[0]]).to.deep.equal([1, 'error SOURCE_UNREACHABLE']);
    const nobody = await cli.run(['trust', 'https://127.0.0.1:1']);
    expect([nobody.code, nobody.err.text.split(':')[0]]).to.deep.equal([1, 'error SOURCE_UNREACHABLE']);
  });

  it('is cancelled by Ctrl-C while it waits', async () => {
    const port = await listen(createPlainServer((socket) => socket.on('error', () => undefined).resume()));
    const cli = new CliHarness(folder());
    const { code } = await cli.run(['trust', `127.0.0.1:${port}`], {
      onStart: (signals) => server?.once('connection', () => signals.emit('SIGINT')),
    });
    expect(code).to.equal(130);
  });
});
