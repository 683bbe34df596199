/**
 * The contract between a backup host and its source plugins. It knows nothing of any particular source.
 * Imports nothing of ours; a host author imports only this.
 */
export * from './backup-error.js';
export * from './backup-source.js';
export * from './backup-source-provider.js';
export * from './events.js';
export * from './host-services.js';
export * from './media.js';
export * from './plugin.js';
export * from './plugin-manifest.js';
export * from './requests.js';
export * from './restore-handler.js';
export * from './saveset-record.js';
export * from './source-browser.js';
