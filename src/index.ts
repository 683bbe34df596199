/** The plugin's entry, named by `plugin.manifest.json`: the default export, and the seams for hosts that replace a part. */
import { createPlugin } from './plugin/create-plugin.js';

export { createPlugin, type PluginSeams } from './plugin/create-plugin.js';

export default createPlugin();
