import { expect } from 'chai';
import { connect } from 'node:net';
import { type RunningPool } from '../../../src/simulator/index.js';
import { type RpcClient, startWithClient } from '../support/rpc-client.js';

describe('PUT /import of a body that is too short for an archive', () => {
  let pool: RunningPool;
  let client: RpcClient;

  before(async () => {
    ({ pool, client } = await startWithClient());
  });
  after(() => pool.close());

  for (const sizeBytes of [0, 100]) {
    it(`waits though ${sizeBytes} bytes were announced, and ends with the client's side of the connection`, async () => {
      const task = await client.call<string>('task.create', 'short', '');
      const { port, hostname } = new URL(pool.httpUrl);
      const socket = connect(Number(port), hostname);
      const target = `/import?session_id=${client.session}&task_id=${task}`;
      socket.write(`PUT ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: ${sizeBytes}\r\n\r\n`);
      socket.write(Buffer.alloc(sizeBytes, 'Z'));
      const head = await new Promise<string>((resolve) =>
        socket.once('data', (chunk) => {
          resolve(chunk.toString());
        }),
      );
      expect(head).to.match(/^HTTP\/1\.1 200 OK/);
      expect(await client.call('task.get_status', task)).to.equal('pending');
      socket.end();
      let rest = '';
      for await (const chunk of socket) rest += String(chunk);
      expect(rest).to.include('HTTP/1.1 500 Internal Error').and.include('IMPORT_ERROR_PREMATURE_EOF');
      const record = await client.taskEnd(task);
      expect(record).to.deep.include({ status: 'failure', error_info: ['IMPORT_ERROR_PREMATURE_EOF'] });
    });
  }
});
