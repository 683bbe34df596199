import { poolRoutes } from '../handlers/pool-routes.js';
import { serviceRoutes } from '../handlers/service-routes.js';
import { transferRoutes } from '../handlers/transfer-routes.js';
import { type Route } from './handler.js';

/** The handlers that every simulated pool offers. */
export const ROUTES: readonly Route[] = [...transferRoutes, ...poolRoutes, ...serviceRoutes];
