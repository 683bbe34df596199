import { type Route } from './handler.js';

/** The route of a request: the longest prefix among those of its method, as XAPI's radix tree finds it. */
export function routeFor(routes: readonly Route[], method: string, path: string): Route | undefined {
  let best: Route | undefined;
  for (const route of routes) {
    if (route.method !== method || !path.startsWith(route.prefix)) continue;
    if (best === undefined || route.prefix.length > best.prefix.length) best = route;
  }
  return best;
}
