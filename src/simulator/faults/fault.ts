/** Which calls or transfers a fault hits. In both patterns `*` stands for any text and `?` for one character. */
export interface FaultMatch {
  /** An API call, such as `VM.snapshot` or `VDI.*` (with or without `Async.`). */
  readonly call?: string | undefined;
  /** A transfer, such as `/export` or `/*_raw_vdi`; compared with the request's path without a trailing slash. */
  readonly path?: string | undefined;
  /** Of the transfer. */
  readonly method?: string | undefined;
  /** A connection to a host's NBD server, or a read over one. */
  readonly nbd?: 'connection' | 'read' | undefined;
}

type Failure = readonly [code: string, ...params: string[]];

export type FaultAction =
  /** The call or the transfer fails with this code and these parameters; `{1}` stands for a call's first argument. */
  | { readonly failWith: Failure }
  /** The connection is cut after so many bytes of body, sent or received. */
  | { readonly cutAtByte: number }
  /** One bit of this byte of the body is flipped. */
  | { readonly corruptAtByte: number }
  /** Nothing more is sent or read, from this byte on (0 when absent), until the client gives up. */
  | { readonly stall: true; readonly atByte?: number | undefined }
  /** The answer ends cleanly after so many bytes, and its task tells success or failure. */
  | { readonly truncateAtByte: number; readonly task: 'success' | 'failure' }
  /** The same before this member of the archive, counted from 0 (`ova.xml`): what came is whole members. */
  | { readonly truncateAtMember: number; readonly task: 'success' | 'failure' }
  /** After so many bytes an error page follows inside the body, and the task fails. */
  | { readonly bodyError: Failure; readonly atByte: number }
  /** The transfer or the call is answered with this HTTP status and nothing else. */
  | { readonly httpStatus: number }
  /** No faster than this from this byte on (0 when absent), by the pool's clock: a transfer, or NBD reads. */
  | { readonly bytesPerSecond: number; readonly atByte?: number | undefined }
  /** The call, the transfer or the NBD read begins so much later, by the pool's clock. */
  | { readonly delayMs: number }
  /** The checksum of the archive's n-th chunk, from 0, is not that of its data. */
  | { readonly wrongChecksumAtChunk: number }
  /** The n-th chunk and its checksum come twice. */
  | { readonly duplicateChunk: number }
  /** The n-th chunk and its checksum come after the next ones. */
  | { readonly swapChunk: number }
  /** The session ends: before the call or the transfer begins or, with `atByte`, while the transfer goes on. */
  | { readonly expireSession: true; readonly atByte?: number | undefined }
  /** A host dies: the coordinator, or the one that was asked. */
  | {
      readonly kill: 'coordinator' | 'host';
      readonly atByte?: number | undefined;
      /** Of a call: its work is done and only the answer is lost. */
      readonly afterWork?: boolean | undefined;
      /** Name or uuid of the host that becomes the coordinator then. */
      readonly promote?: string | undefined;
      /** It answers again after so long. */
      readonly backAfterMs?: number | undefined;
    }
  /** Something else takes all the room of this storage, by name or uuid. */
  | { readonly fillStorage: string; readonly atByte?: number | undefined }
  /** The work is done and all bytes flow, yet the task, or the call, ends with this failure. */
  | { readonly taskFailure: Failure }
  /** The task is gone when the work ends, and nobody saw how it ended. */
  | { readonly vanishTask: true }
  /** An NBD connection is closed without a greeting. */
  | { readonly refuse: true }
  /** An NBD connection is secured with a certificate that is not the host's. */
  | { readonly wrongCertificate: true };

/** Something that goes wrong, as data. */
export interface Fault {
  readonly match: FaultMatch;
  /** The how many-th match is the first that is hit, from 1. Alone: the only one. */
  readonly occurrence?: number | undefined;
  /** How many matches are hit. Without it, `occurrence` and `forMs`: all. */
  readonly times?: number | undefined;
  /** Hits from the first hit on for so long, by the pool's clock. */
  readonly forMs?: number | undefined;
  readonly action: FaultAction;
}
