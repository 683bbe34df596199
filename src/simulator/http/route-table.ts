import { transferRoutes } from '../handlers/transfer-routes.js';
import { type Route } from './handler.js';

/** The transfers that every simulated pool offers. */
export const ROUTES: readonly Route[] = [...transferRoutes];
