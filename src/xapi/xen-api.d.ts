/**
 * The part of npm `xen-api` 4.7.6 that we use; it ships no types. The members with an underscore are private there:
 * the version is pinned exactly and `spec/xapi/xen-api-client.spec.ts` fails when one of them goes away.
 */
declare module 'xen-api' {
  import { type Dispatcher } from 'undici';

  export interface XapiOptions {
    readonly url: string;
    readonly auth: { readonly user?: string; readonly password?: string };
    readonly watchEvents: boolean;
    readonly transport: 'json-rpc' | 'xml-rpc';
  }

  /** Rejects with an error called `UnsupportedTransport` when the host does not speak it. */
  export type XapiTransport = (method: string, args: readonly unknown[]) => Promise<unknown>;

  export class Xapi {
    constructor(options: XapiOptions);
    readonly _url: object;
    _createTransport(options: { dispatcher: Pick<Dispatcher, 'dispatch'>; url: object }): XapiTransport;
  }
}
