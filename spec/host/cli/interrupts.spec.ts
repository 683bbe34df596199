import { expect } from 'chai';
import { EventEmitter } from 'node:events';
import { EXIT } from '../../../src/host/cli/exit-code.js';
import { Interrupts } from '../../../src/host/cli/interrupts.js';

function interruptible(): { signals: EventEmitter; left: number[]; notes: string[]; interrupts: Interrupts } {
  const signals = new EventEmitter();
  const left: number[] = [];
  const notes: string[] = [];
  const exit = (code: number): void => void left.push(code);
  const interrupts = new Interrupts({ signals, exit }, (text) => notes.push(text));
  return { signals, left, notes, interrupts };
}

describe('Interrupts', () => {
  it('cancels at the first signal, and leaves at the second', () => {
    const { signals, left, notes, interrupts } = interruptible();
    signals.emit('SIGINT');
    expect(interrupts.signal.aborted).to.equal(true);
    expect(left).to.deep.equal([]);
    signals.emit('SIGTERM');
    expect(left).to.deep.equal([EXIT.cancelled]);
    expect(notes).to.have.length(2);
  });

  // The process was ended by the signal, as if nothing had been done.
  it('keeps the outcome of work that is over (found by torture)', () => {
    const { signals, left, notes, interrupts } = interruptible();
    interrupts.end(EXIT.warnings);
    signals.emit('SIGINT');
    expect(left).to.deep.equal([EXIT.warnings]);
    expect(interrupts.signal.aborted).to.equal(false);
    expect(notes).to.deep.equal([]);
  });
});
