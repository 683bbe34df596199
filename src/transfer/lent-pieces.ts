import { MIB } from '../common/byte-size.js';

/** More than that is waiting only where nobody says what leaves. */
const MOST_WAITING_BYTES = 32 * MIB;

interface WaitingPiece {
  readonly piece: Buffer;
  readonly untilByte: number;
  readonly giveBack: (piece: Buffer) => void;
}

/**
 * Gives the memory of pieces back when all that was made of them has left: what is made and what leaves is counted in
 * bytes of one stream, which keeps its order. Where nothing is said to leave, the pieces are the collector's.
 */
export class LentPieces {
  #waiting: WaitingPiece[] = [];
  #waitingBytes = 0;
  #madeBytes = 0;
  #leftBytes = 0;

  /** So much more was made, and will leave. */
  made(bytes: number): void {
    this.#madeBytes += bytes;
  }

  /** Nothing more will be made of the piece; what was made of it has been said. */
  done(piece: Buffer, giveBack: (piece: Buffer) => void): void {
    if (this.#waitingBytes > MOST_WAITING_BYTES) {
      this.#waiting = [];
      this.#waitingBytes = 0;
    }
    this.#waiting.push({ piece, untilByte: this.#madeBytes, giveBack });
    this.#waitingBytes += piece.length;
    this.#settle();
  }

  /** So much more has left: its memory is of no more use. */
  left(bytes: number): void {
    this.#leftBytes += bytes;
    this.#settle();
  }

  #settle(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (first.untilByte > this.#leftBytes) return;
      this.#waiting.shift();
      this.#waitingBytes -= first.piece.length;
      first.giveBack(first.piece);
    }
  }
}
