import { expect } from 'chai';
import fc from 'fast-check';
import {
  isErrorAnswer,
  MAX_PAGE_BYTES,
  parseAnswerHead,
  refusalError,
  requestTarget,
} from '../../src/xapi/handler-answer.js';
import { XapiError } from '../../src/xapi/xapi-error.js';

/** As a real XAPI 24.19.2 answered PUT /import. */
const IMPORT =
  'HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: no-cache, no-store\r\n' +
  'task-id:OpaqueRef:9ec27652-e2ea-fdc0-1f56-9d0ead658489\r\ncontent-type: application/octet-stream\r\n\r\n';

describe('handler-answer', () => {
  describe('parseAnswerHead', () => {
    it('reads status and headers, with or without a space after the colon', () => {
      const head = parseAnswerHead(Buffer.from(`${IMPORT}body`));
      expect(head?.status).to.equal(200);
      expect(head?.headBytes).to.equal(IMPORT.length);
      expect(head?.headers.get('task-id')).to.equal('OpaqueRef:9ec27652-e2ea-fdc0-1f56-9d0ead658489');
      expect(head?.headers.get('connection')).to.equal('close');
    });

    it('waits for the rest wherever the head is cut', () => {
      fc.assert(
        fc.property(fc.nat(IMPORT.length - 1), (at) => {
          expect(parseAnswerHead(Buffer.from(IMPORT.slice(0, at)))).to.equal(undefined);
        }),
      );
    });

    it('refuses what is not HTTP, and a head without an end', () => {
      for (const bytes of [
        'SSH-2.0-x',
        'HTTQ',
        'HTTP/2 200\r\n\r\n',
        'HTTP/1.1 2xx\r\n\r\n',
        `HTTP/1.1 ${'x'.repeat(MAX_PAGE_BYTES)}`,
      ]) {
        expect(() => parseAnswerHead(Buffer.from(bytes)), bytes.slice(0, 20))
          .to.throw()
          .with.property('kind', 'protocol');
      }
    });
  });

  describe('refusalError', () => {
    it("is XAPI's error when the page holds one", () => {
      expect(refusalError(500, 'Additional information </h1>UUID_INVALID: [ VM; x ]</body>')).to.be.instanceOf(
        XapiError,
      );
    });

    it('is the status with what the page says otherwise', () => {
      const error = refusalError(500, 'Additional information </h1>Db_exn</body>');
      expect(error).to.include({ kind: 'http-status', httpStatus: 500 });
      expect(error.message).to.contain('Db_exn');
      expect(refusalError(404, '').message).to.equal('The pool refused the transfer with HTTP 404.');
    });
  });

  describe('isErrorAnswer', () => {
    it('knows an error answer inside data', () => {
      expect([
        isErrorAnswer(Buffer.from('HTTP/1.1 500 Internal Error\r\n')),
        isErrorAnswer(Buffer.from('HTTP/1.1 200 OK')),
        isErrorAnswer(Buffer.from('ova.xml')),
      ]).to.deep.equal([true, false, false]);
    });
  });

  describe('requestTarget', () => {
    it('encodes every value so that XAPI reads it back', () => {
      expect(requestTarget('/export', { ref: 'OpaqueRef:1', label: 'a b&c=d+e' })).to.equal(
        '/export?ref=OpaqueRef%3A1&label=a%20b%26c%3Dd%2Be',
      );
    });
  });
});
