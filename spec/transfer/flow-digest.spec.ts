import { createHash, randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { expect } from 'chai';
import { MIB } from '../../src/common/byte-size.js';
import { isBackupError } from '../../src/contract/backup-error.js';
import { DigestThread } from '../../src/transfer/digest-thread.js';
import { type FlowDigest, flowDigest, type FlowDigestEvents } from '../../src/transfer/flow-digest.js';

const MUCH_BYTES = 300 * MIB;

/** What a digest says, as events. */
class Heard extends EventEmitter implements FlowDigestEvents {
  onDrain = (): void => void this.emit('drain');
  onFailure = (error: Error): void => void this.emit('failure', error);
}

/** As a stream does it: waits whenever the digest is behind. */
async function feed(digest: FlowDigest, heard: Heard, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    const drained = once(heard, 'drain');
    if (!digest.update(piece)) await drained;
  }
}

const sha256Of = (pieces: readonly Buffer[]): string => {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
};

const scriptOf = (text: string): URL =>
  new URL(`data:text/javascript,${encodeURIComponent(`import { parentPort } from 'node:worker_threads'; ${text}`)}`);

describe('flowDigest', () => {
  const digests: FlowDigest[] = [];
  const open = async (
    expectedBytes: number,
    heard = new Heard(),
    place: Parameters<typeof flowDigest>[2] = { cores: 2 },
  ): Promise<FlowDigest> => {
    const digest = await flowDigest(expectedBytes, heard, place);
    digests.push(digest);
    return digest;
  };

  afterEach(async () => {
    for (const digest of digests.splice(0)) await digest.release();
  });

  it('gives the SHA-256 of pieces of any size, on a thread and without', async () => {
    const sizes = [1, 0, 70_000, MIB, 3 * MIB + 17, 5, 9 * MIB, 2 * MIB - 1, 64 * 1024];
    const pieces = sizes.map((size) => randomBytes(size));
    for (const expectedBytes of [0, MUCH_BYTES]) {
      const heard = new Heard();
      const digest = await open(expectedBytes, heard);
      expect(digest instanceof DigestThread).to.equal(expectedBytes > 0);
      await feed(digest, heard, pieces);
      expect(await digest.digest()).to.equal(sha256Of(pieces));
    }
  });

  it('of nothing is that of nothing', async () => {
    expect(await (await open(MUCH_BYTES)).digest()).to.equal(sha256Of([]));
  });

  it('says when it is behind, and takes what it was given all the same', async () => {
    const digest = await open(MUCH_BYTES);
    const pieces = Array.from({ length: 20 }, () => randomBytes(MIB));
    // Nothing comes back from the thread before this function waits.
    const taken = pieces.map((piece) => digest.update(piece));
    expect(taken.filter(Boolean)).to.have.length(6);
    expect(await digest.digest()).to.equal(sha256Of(pieces));
  });

  it('has a thread only for a long stream, and no more than there are other cores', async () => {
    const cores = 3;
    const kinds: boolean[] = [];
    for (const bytes of [MIB, MUCH_BYTES, MUCH_BYTES, MUCH_BYTES])
      kinds.push((await open(bytes, new Heard(), { cores })) instanceof DigestThread);
    expect(kinds).to.deep.equal([false, true, true, false]);
    for (const digest of digests.splice(0)) await digest.release();
    expect(await open(MUCH_BYTES, new Heard(), { cores: 1 })).not.to.be.instanceOf(DigestThread);
    expect(await open(MUCH_BYTES, new Heard(), { cores })).to.be.instanceOf(DigestThread);
  });

  it('tells that its thread has ended by itself, and there is room for another', async () => {
    const script = scriptOf(
      "parentPort.postMessage({ kind: 'ready' }); parentPort.on('message', () => process.exit());",
    );
    const heard = new Heard();
    const digest = await open(MUCH_BYTES, heard, { cores: 2, script });
    const failure = once(heard, 'failure');
    digest.update(randomBytes(MIB));
    const [error] = (await failure) as readonly unknown[];
    expect(isBackupError(error) && error.code).to.equal('INTERNAL');
    expect(await open(MUCH_BYTES)).to.be.instanceOf(DigestThread);
  });

  it('does without a thread where there can be none, and there is room for another', async () => {
    for (const script of [new URL('file:///nowhere/worker.js'), scriptOf('process.exit();')])
      expect(await open(MUCH_BYTES, new Heard(), { cores: 2, script })).not.to.be.instanceOf(DigestThread);
    expect(await open(MUCH_BYTES)).to.be.instanceOf(DigestThread);
  });
});
