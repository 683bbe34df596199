import { expect } from 'chai';
import fc from 'fast-check';
import { encodeOption, encodeRead, parseExport, parseGreeting, parseOptionReply } from '../../src/xapi/nbd-protocol.js';
import { TransportError } from '../../src/xapi/transport-error.js';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const refused = (work: () => unknown): void => {
  expect(work).to.throw(TransportError).with.property('kind', 'protocol');
};

describe('nbd-protocol', () => {
  it("reads the greeting of XAPI's server", () => {
    expect(parseGreeting(hex('4e42444d4147494349484156454f50540001'))).to.deep.equal({ leavesZeroesOut: false });
    expect(parseGreeting(hex('4e42444d4147494349484156454f50540003'))).to.deep.equal({ leavesZeroesOut: true });
  });

  it('refuses the greeting of anything else', () => {
    refused(() => parseGreeting(hex('4e42444d4147494349484156454f50540000')));
    refused(() => parseGreeting(hex('4e42444d414749430000420281861253ffff')));
    refused(() => parseGreeting(Buffer.from('HTTP/1.1 400 Bad request')));
  });

  it("reads the answers of XAPI's server to an option", () => {
    expect(parseOptionReply(hex('0003e889045565a9000000050000000100000000'), 'startTls')).to.include({
      isAccepted: true,
    });
    for (const [code, refusal] of [
      ['80000002', 'ERR_POLICY'],
      ['80000001', 'ERR_UNSUP'],
      ['80000005', 'ERR_TLS_REQD'],
      ['8000ffff', '0x8000ffff'],
    ] as const) {
      expect(parseOptionReply(hex(`0003e889045565a900000005${code}00000010`), 'startTls')).to.deep.equal({
        isAccepted: false,
        refusal,
        textBytes: 16,
      });
    }
  });

  it('refuses answers of hostile servers', () => {
    for (const wire of [
      '0003e889045565aa000000050000000100000000',
      '0003e889045565a9000000060000000100000000',
      '0003e889045565a9000000050000000200000000',
      '0003e889045565a9000000050000000100000004',
      '0003e889045565a90000000580000002ffffffff',
    ]) {
      refused(() => parseOptionReply(hex(wire), 'startTls'));
    }
  });

  it('reads an export, and refuses one of impossible size or without flags', () => {
    expect(parseExport(hex('00000000028000000003'))).to.equal(41_943_040);
    refused(() => parseExport(hex('ffffffffffffffff0003')));
    refused(() => parseExport(hex('00000000028000000002')));
  });

  it('writes what the server of XAPI took', () => {
    expect(encodeOption('startTls').toString('hex')).to.equal('49484156454f50540000000500000000');
    expect(encodeRead(1, 0, 65_536).toString('hex')).to.equal(
      '25609513000000000000000000000001000000000000000000010000',
    );
    expect(encodeRead(1, 0x1_0000_0000_0000, 512).toString('hex')).to.equal(
      '25609513000000000000000000000001000100000000000000000200',
    );
    refused(() => encodeOption('exportName', 'x'.repeat(5000)));
  });

  it('answers noise with a typed error or a value, nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), (noise) => {
        const bytes = Buffer.from(noise);
        for (const parse of [parseGreeting, parseExport, (some: Buffer) => parseOptionReply(some, 'startTls')]) {
          try {
            parse(bytes);
          } catch (error) {
            expect(error).to.be.instanceOf(TransportError);
          }
        }
      }),
    );
  });
});
