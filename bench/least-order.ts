/** What `least-mover.ts` is to do; comes on its standard input. */
export interface LeastOrder {
  readonly direction: 'download' | 'upload';
  /** Of the handler, with its query. */
  readonly url: string;
  /** Value of the header `Authorization`. */
  readonly authorization: string;
  readonly file: string;
}
