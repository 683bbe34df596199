import { poolRoutes } from '../handlers/pool-routes.js';
import { transferRoutes } from '../handlers/transfer-routes.js';
import { type Route } from './handler.js';

/** The transfers that every simulated pool offers. */
export const ROUTES: readonly Route[] = [...transferRoutes, ...poolRoutes];
