/** An XAPI error as it goes over the wire: a code and its parameters. */
export class SimulatedFailure extends Error {
  readonly code: string;
  readonly params: readonly string[];

  constructor(code: string, params: readonly string[] = []) {
    super([code, ...params].join(' '));
    this.name = 'SimulatedFailure';
    this.code = code;
    this.params = params;
  }

  /** The code and the parameters in one list, as `error_info` and `ErrorDescription` carry them. */
  get description(): readonly string[] {
    return [this.code, ...this.params];
  }
}

/** Whatever was thrown, as the failure that XAPI would report for it. */
export function toSimulatedFailure(thrown: unknown): SimulatedFailure {
  if (thrown instanceof SimulatedFailure) return thrown;
  const text = thrown instanceof Error ? `${thrown.name}("${thrown.message}")` : String(thrown);
  return new SimulatedFailure('INTERNAL_ERROR', [text]);
}
