import { type Route } from '../http/handler.js';
import { handleDatabaseDump, handleDatabaseRestore } from './database-handlers.js';
import { handleHostBackup, handleHostRestore } from './host-backup-handlers.js';

/** The handlers that save and bring back the pool itself and its hosts. */
export const poolRoutes: readonly Route[] = [
  {
    method: 'GET',
    prefix: '/pool/xmldbdump',
    realm: 'get_pool_xml_db_sync',
    role: 'pool-admin',
    handle: handleDatabaseDump,
  },
  {
    method: 'PUT',
    prefix: '/pool/xmldbdump',
    realm: 'put_pool_xml_db_sync',
    role: 'pool-admin',
    handle: handleDatabaseRestore,
  },
  { method: 'GET', prefix: '/host_backup', realm: 'get_host_backup', role: 'pool-admin', handle: handleHostBackup },
  { method: 'PUT', prefix: '/host_restore', realm: 'put_host_restore', role: 'pool-admin', handle: handleHostRestore },
];
