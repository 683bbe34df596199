import { expect } from 'chai';
import { PassThrough } from 'node:stream';
import zlib from 'node:zlib';
import { packerFor } from '../../../src/host/repository/item-compression.js';
import { expectCode } from '../../contract/support/run-operation.js';

const notFound = (): Promise<never> =>
  Promise.reject(Object.assign(new Error('not found'), { code: 'ERR_MODULE_NOT_FOUND' }));
const nodeZlib = {
  createZstdCompress: (options: object) => Object.assign(new PassThrough(), { made: 'by Node', options }),
  createZstdDecompress: () => new PassThrough(),
  constants: { ZSTD_c_checksumFlag: 201 },
};

describe('packerFor', () => {
  it('makes nothing for none, and what gzip reads for gzip', async () => {
    expect(await packerFor('none')).to.equal(undefined);
    const packer = (await packerFor('gzip'))!;
    const pack = packer.pack();
    pack.end('hello');
    const parts: Buffer[] = [];
    for await (const part of pack) parts.push(part as Buffer);
    expect(zlib.gunzipSync(Buffer.concat(parts)).toString()).to.equal('hello');
  });

  for (const [form, exported] of [
    ['beside default', (napi: object) => ({ ...napi, default: napi })],
    ['in default', (napi: object) => ({ default: napi })],
  ] as const) {
    it(`takes zstd-napi when it is there, its exports ${form}, with checksums and threads`, async () => {
      class CompressStream extends PassThrough {
        constructor(readonly parameters: object) {
          super();
        }
      }
      const napi = exported({ CompressStream, DecompressStream: PassThrough });
      const packer = (await packerFor('zstd', { importNapi: () => Promise.resolve(napi), nodeZlib }))!;
      const pack = packer.pack();
      expect(pack).to.be.instanceOf(CompressStream);
      expect(pack).to.have.nested.property('parameters.checksumFlag', true);
      expect(pack).to.have.nested.property('parameters.nbWorkers').that.is.at.least(1);
      expect(packer.unpack()).to.be.instanceOf(PassThrough);
    });
  }

  it("takes Node's zstd when that is there alone, or another package bears the name", async () => {
    for (const importNapi of [notFound, () => Promise.resolve({ something: 'else' })]) {
      const packer = (await packerFor('zstd', { importNapi, nodeZlib }))!;
      expect(packer.pack()).to.deep.include({ made: 'by Node' });
      expect(packer.pack()).to.have.nested.property('options.params').that.deep.equals({ 201: 1 });
    }
  });

  it('says what to do where there is neither', async () => {
    const { hint, message } = await expectCode(
      packerFor('zstd', { importNapi: notFound, nodeZlib: {} }),
      'CONFIG_INVALID',
    );
    expect(message).to.include(process.versions.node);
    expect(hint).to.match(/22\.15.*zstd-napi.*gzip/);
  });

  it('says so when zstd-napi is there and broken', async () => {
    const importNapi = (): Promise<never> => Promise.reject(new Error('wrong architecture'));
    const { hint } = await expectCode(packerFor('zstd', { importNapi, nodeZlib }), 'CONFIG_INVALID');
    expect(hint).to.include('Install it again');
  });

  it('finds what this Node has', async () => {
    const outcome = await packerFor('zstd').then(
      () => 'there',
      () => 'missing',
    );
    expect(outcome).to.equal('createZstdCompress' in zlib ? 'there' : 'missing');
  });
});
