import { PLAIN_DRIVE } from '../../support/new-records.js';
import { type Json } from '../support/rpc-client.js';

/** One entry of the captured talk with an NBD server. */
export interface CapturedNbdStep {
  readonly note: string;
  readonly tls?: boolean;
  readonly request?: string;
  readonly answer?: string | Json | null;
  readonly bytes?: string;
  /** `closed`, or nothing when the connection stayed open. */
  readonly end?: string | null;
  readonly answer_bytes?: number | null;
  readonly size?: number | null;
  readonly transmission_flags?: string | null;
  readonly padding_zero?: boolean | null;
  readonly answer_header?: string;
  readonly data_bytes?: number;
  readonly order?: readonly number[];
  readonly greeting?: string;
  readonly vbds_of_the_vdi?: number;
  readonly count?: number;
  readonly left?: number;
  readonly vbds?: readonly string[];
  readonly first?: Json;
  readonly vm?: Json;
  readonly record?: Json;
  readonly subject_checked?: string;
  readonly version?: string;
}

/** Numbers of the protocol's options. */
export const OPTIONS: Readonly<Record<string, number>> = {
  LIST: 3,
  STRUCTURED_REPLY: 8,
  GO: 7,
  INFO: 6,
  SET_META_CONTEXT: 10,
  LIST_META_CONTEXT: 9,
  PEEK_EXPORT: 4,
  'unknown 99': 99,
  STARTTLS: 5,
  ABORT: 2,
};
/** The disks behind the captured export names. */
export interface NbdDisks {
  /** References; the first one is destroyed on the way, the second one takes its place. */
  readonly plain: string;
  readonly second: string;
  readonly networks: readonly [string, string];
  /** A halted VM without disks. */
  readonly vm: string;
}

/** Of a step, the answers under their captured names. */
export type CapturedNbdAnswer = Readonly<Record<string, unknown>>;

/** What INFO and GO send: a name, and no wishes. */
export function infoData(name: string): string {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(name.length);
  return `${length.toString('latin1')}${name}\0\0`;
}

export function vbdOf(vm: string, vdi: string): Json {
  return {
    VM: vm,
    VDI: vdi,
    userdevice: '0',
    ...PLAIN_DRIVE,
  };
}
