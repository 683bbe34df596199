import { type Arena } from './arena.js';

/** Something that the pool sees: a call (with its `Async.`), a transfer (`GET /export`), an NBD connection or read. */
export interface Step {
  readonly kind: 'call' | 'transfer' | 'nbd';
  readonly name: string;
}

/** Tells of each call, transfer and NBD read as the pool gets it, before anything is done about it. */
export function watch(arena: Arena, onStep: (step: Step) => void): void {
  const { faults } = arena.running.pool;
  const [forCall, forTransfer, forNbd] = [
    faults.forCall.bind(faults),
    faults.forTransfer.bind(faults),
    faults.forNbd.bind(faults),
  ];
  faults.forCall = (call) => {
    onStep({ kind: 'call', name: call });
    return forCall(call);
  };
  faults.forTransfer = (method, path) => {
    onStep({ kind: 'transfer', name: `${method} ${path.replace(/\/+$/, '')}` });
    return forTransfer(method, path);
  };
  faults.forNbd = (what) => {
    onStep({ kind: 'nbd', name: what });
    return forNbd(what);
  };
}
