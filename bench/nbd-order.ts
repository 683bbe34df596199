/** A disk of a pool as `VDI.get_nbd_info` tells it, and its size. */
export interface NbdOrder {
  readonly host: string;
  readonly port: number;
  readonly exportName: string;
  readonly certificatePem: string;
  readonly subject: string;
  readonly sizeBytes: number;
}
