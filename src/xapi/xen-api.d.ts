/**
 * The part of npm `xen-api` 4.7.6 that we use; it ships no types, and does not document these files: the version is pinned
 * exactly and `spec/xapi/xen-api-client.spec.ts` fails when one of them goes away.
 */
declare module 'xen-api/transports/json-rpc.mjs' {
  import { type Dispatcher } from 'undici';

  export interface XapiTransportOptions {
    readonly dispatcher: Pick<Dispatcher, 'dispatch'>;
    readonly url: { readonly protocol: string; readonly hostname: string; readonly port: string };
  }

  /** Rejects with an error called `UnsupportedTransport` when the host does not speak it. */
  export type XapiTransport = (method: string, args: readonly unknown[]) => Promise<unknown>;
  export type XapiTransportFactory = (options: XapiTransportOptions) => XapiTransport;

  const newTransport: XapiTransportFactory;
  export default newTransport;
}

declare module 'xen-api/transports/xml-rpc.mjs' {
  export { default } from 'xen-api/transports/json-rpc.mjs';
}

/** The whole of it runs in specs of the simulated pool only, which say there what they use. */
declare module 'xen-api';
