import { expect } from 'chai';
import { FormatError } from '../../src/format/format-error.js';
import { XvaReader } from '../../src/format/xva-reader.js';
import { buildOvaXml, builtDisk, buildXvaMembers, MIB, tarMember } from '../support/xva-builder.js';
import { errorPage, failure, smallMembers, smallXva } from './support/xva-reading.js';

describe('XvaReader', () => {
  describe("the pool's error page in place of data", () => {
    const page = errorPage('SR_BACKEND_FAILURE_46: [ ; The VDI is not available; opterr=&lt;x&gt; ]');
    const xapiError = { code: 'SR_BACKEND_FAILURE_46', params: ['', 'The VDI is not available', 'opterr=<x>'] };

    it('is understood before every member, in one piece or byte by byte', async () => {
      const members = await smallMembers();
      for (const [index] of members.entries()) {
        const before = Buffer.concat(members.slice(0, index));
        for (const pieces of [
          [before, page],
          [before, ...Array.from(page, (byte) => Buffer.of(byte))],
        ]) {
          const error = failure(...pieces);
          expect(error.xapiError, `before member ${index}`).to.deep.equal(xapiError);
          expect(error.offsetBytes).to.equal(before.length);
          expect(error.message).to.match(/HTTP 500 Internal Error .*SR_BACKEND_FAILURE_46/);
        }
      }
    });

    it('is understood after the end', async () => {
      const xva = await smallXva();
      const error = failure(xva, page);
      expect(error).to.deep.include({ xapiError, offsetBytes: xva.length });
    });

    it('is understood in the middle of a block', async () => {
      const members = await buildXvaMembers({ disks: [builtDisk('Ref:7', MIB, { 0: MIB })] });
      const cut = Buffer.concat(members.slice(0, 2)).subarray(0, 200_000);
      expect(failure(cut, page)).to.deep.include({ xapiError, offsetBytes: cut.length });
      expect(failure(cut, ...Array.from(page, (byte) => Buffer.of(byte))).xapiError).to.deep.equal(xapiError);
    });

    it('is not seen in a cut disk that holds other HTTP answers', () => {
      const disk = builtDisk('Ref:7', 8192, {});
      const head = [
        tarMember('ova.xml', buildOvaXml({ disks: [disk] })),
        tarMember('Ref:7/00000000', Buffer.alloc(8192)),
      ];
      const cut = Buffer.concat(head).subarray(0, -4096);
      expect(failure(cut, Buffer.from('HTTP/1.1 200 OK\r\n\r\nhello')).what).to.match(/cut short/);
    });

    it('ends the reading as soon as it is complete', async () => {
      const reader = new XvaReader();
      reader.push(await smallMembers().then((members) => members[0]!));
      const long = errorPage(`VDI_IO_ERROR: [ ${'x'.repeat(600)} ]`);
      expect(() => {
        reader.push(long);
      }).to.throw(FormatError, 'VDI_IO_ERROR');
    });

    it('ends the reading when it has no end', async () => {
      const reader = new XvaReader();
      reader.push(await smallMembers().then((members) => members[0]!));
      expect(() => {
        for (let piece = 0; piece < 40; piece += 1)
          reader.push(piece === 0 ? page.subarray(0, 300) : Buffer.alloc(512, 'x'));
      }).to.throw(FormatError, 'HTTP 500');
    });

    const pages: readonly (readonly [string, Buffer, unknown])[] = [
      ['no parameters', errorPage('DEFAULT_SR_NOT_FOUND: [  ]'), { code: 'DEFAULT_SR_NOT_FOUND', params: [] }],
      [
        'text without a code',
        errorPage('Xmlm.Error(1:1, &quot;x&quot;)'),
        { code: 'INTERNAL_ERROR', params: ['Xmlm.Error(1:1, "x")'] },
      ],
      ['a page cut off', errorPage('VM_MISSING: [ a ]', ''), { code: 'VM_MISSING', params: ['a'] }],
      ['no information', Buffer.from('HTTP/1.0 403 Forbidden\r\n\r\n'), undefined],
      ['a status line that is cut', Buffer.from('HTTP/1.'), undefined],
    ];
    for (const [what, bytes, expected] of pages) {
      it(`may have ${what}`, () => {
        expect(failure(bytes).xapiError).to.deep.equal(expected);
        expect(failure(bytes).message).to.match(/^The pool answered HTTP/);
      });
    }
  });
});
