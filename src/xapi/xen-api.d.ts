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
  }

  export class Xapi {
    constructor(options: XapiOptions);
    _undiciDispatcher: Pick<Dispatcher, 'dispatch'>;
    readonly _url: object;
    /** Makes the transport anew, with the dispatcher of the moment. */
    _setUrl(url: object): void;
    /** JSON-RPC, and XML-RPC on hosts that don't speak it. */
    _transport(method: string, args: readonly unknown[]): Promise<unknown>;
  }
}
