import { type ServiceIdentifier } from 'inversify';
import { type DataMover } from './data-mover.js';

/** Id of the provider, recorded in every saveset. */
export const PROVIDER_ID = 'xenserver';

/** Who works here: the client of the configuration, and the host that the plugin runs in. */
export interface SourceIdentity {
  /** Name of the client in the host's configuration. */
  readonly clientName: string;
  /** The host installation, for marks in the pool. */
  readonly hostId: string;
  /** Name of the machine that moves the data, for saveset records. */
  readonly moverHost: string;
  /** Every name and address that this machine goes by, to tell it from the hosts of the pool. */
  readonly mover: DataMover;
}

export const SourceIdentity = Symbol('SourceIdentity') as ServiceIdentifier<SourceIdentity>;
