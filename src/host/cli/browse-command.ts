import { formatBytes } from '../../common/byte-size.js';
import { type BrowseNode, type SourceBrowser } from '../../contract/index.js';
import { type Cell } from './cli-output.js';
import { type CommandModule } from './command-module.js';
import { addClientOptions, addCommonOptions, type CommonOptions } from './common-options.js';
import { EXIT } from './exit-code.js';
import { OpenHost } from './open-host.js';

/** Deeper than any tree that a person wants to read; guards against a tree that never ends. */
const DEEPEST = 16;
/** A walk shows one moment, and asks the pool once. */
const WALK_MS = 300_000;

interface BrowseOptions extends CommonOptions {
  readonly recursive?: boolean;
}

interface PlacedNode {
  readonly node: BrowseNode;
  readonly depth: number;
}

export const browseCommand: CommandModule = {
  define: (command) => {
    command.argument('[path]', 'where to begin; default: the root', '');
    command.option('-r, --recursive', 'show everything below, too');
    addCommonOptions(addClientOptions(command)).addHelpText(
      'after',
      `
A path shown as a source can be given to "xen-backup backup", one that ends with / to "xen-backup browse".

Examples:
  xen-backup browse
  xen-backup browse vm/
  xen-backup browse -r --json`,
    );
  },
  run: async (context, command) => {
    const { output, signal } = context;
    const [path] = command.processedArgs as [string];
    const options = command.opts<BrowseOptions>();
    return OpenHost.use(context, options, async (host) => {
      const provider = await host.provider();
      const browser = (await host.catalog()).browser(provider.id);
      const opened = await browser.open(host.clientConfig, signal);
      host.onClose('the browser', () => opened.close());
      const isWhole = path === '';
      const rows: Cell[][] = [];
      for await (const { node, depth } of walk(opened.value, path, options.recursive ?? false, signal)) {
        output.json({ type: 'node', ...node });
        if (!output.isJson) rows.push(rowOf(node, isWhole ? depth + 1 : depth));
      }
      if (rows.length === 0) output.line('There is nothing here.');
      else if (isWhole)
        rows.unshift([provider.displayName, 'client', '', { text: '-', style: 'dim' }, host.client.name]);
      if (rows.length > 0)
        output.table(['NAME', 'KIND', 'SIZE', 'SOURCE', 'FACTS'], rows, { right: [2], cutsLast: true });
      return EXIT.done;
    });
  },
};

async function* walk(
  browser: SourceBrowser,
  path: string,
  isRecursive: boolean,
  signal: AbortSignal,
  depth = 0,
): AsyncGenerator<PlacedNode, void, undefined> {
  let cursor: string | undefined;
  do {
    const page = await browser.list(path, {
      signal,
      ...(depth > 0 ? { maxAgeMs: WALK_MS } : {}),
      ...(cursor === undefined ? {} : { cursor }),
    });
    for (const node of page.nodes) {
      yield { node, depth };
      const isDeeper = isRecursive && node.hasChildren && depth < DEEPEST;
      if (isDeeper) yield* walk(browser, node.path, isRecursive, signal, depth + 1);
    }
    cursor = page.nextCursor;
  } while (cursor !== undefined);
}

function rowOf(node: BrowseNode, depth: number): Cell[] {
  const { name, kind, path, sizeBytes, isSelectable, reason, hasChildren } = node;
  const facts = Object.entries(node.properties)
    .map(([key, value]) => [key, Array.isArray(value) ? value.join(' ') : String(value)] as const)
    .flatMap(([key, value]) => (value === '' ? [] : [`${key}: ${value}`]));
  const place: Cell = isSelectable
    ? { text: path, style: 'green' }
    : { text: hasChildren ? `${path}/` : '-', style: 'dim' };
  const size = sizeBytes === undefined ? '' : formatBytes(sizeBytes);
  const remarks = reason === undefined ? facts : [`not possible: ${reason}`, ...facts];
  return ['  '.repeat(depth) + name, kind, size, place, { text: remarks.join(', '), style: 'dim' }];
}
