import { type Route } from '../http/handler.js';
import { handleExport } from './export-handler.js';
import { handleExportMetadata } from './export-metadata-handler.js';
import { handleExportRawVdi } from './export-raw-vdi-handler.js';
import { handleImport, handleImportMetadata } from './import-handler.js';
import { handleImportRawVdi } from './import-raw-vdi-handler.js';

/** The handlers that move VMs as archives, and single disks. */
export const transferRoutes: readonly Route[] = [
  { method: 'GET', prefix: '/export', realm: 'get_export', handle: handleExport },
  { method: 'GET', prefix: '/export_metadata', realm: 'get_export_metadata', handle: handleExportMetadata },
  { method: 'GET', prefix: '/export_raw_vdi', realm: 'get_export_raw_vdi', handle: handleExportRawVdi },
  { method: 'PUT', prefix: '/import', realm: 'put_import', handle: handleImport },
  { method: 'PUT', prefix: '/import_metadata', realm: 'put_import_metadata', handle: handleImportMetadata },
  { method: 'PUT', prefix: '/import_raw_vdi', realm: 'put_import_raw_vdi', handle: handleImportRawVdi },
];
