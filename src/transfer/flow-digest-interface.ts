/** SHA-256 of what flows. */
export interface FlowDigest {
  /** The bytes must not be changed afterwards. False: it is behind, and says `onDrain` when it has caught up. */
  update(piece: Buffer): boolean;
  /** Of everything, 64 lower-case hex digits; nothing may follow. */
  digest(): Promise<string>;
  /** Ends its thread, if it has one. May be called again. */
  release(): Promise<void>;
}

export interface FlowDigestEvents {
  onDrain(): void;
  /** It will give no digest. */
  onFailure(error: Error): void;
}
