import { XMLParser } from 'fast-xml-parser';

type Node = Readonly<Record<string, unknown>>;

const parser = new XMLParser({ preserveOrder: true, parseTagValue: false, trimValues: false });

/**
 * The values inside a task's `result`, which is XML-RPC text even over JSON-RPC: a reference alone gives one value, a
 * set gives each, void and "never set" give none. Text that is not XML-RPC is one value as it stands (XenServer 6.x
 * stored bare references).
 */
export function taskResultValues(result: string): readonly string[] {
  if (result === '') return [];
  if (!result.startsWith('<')) return [result];
  return leaves(parser.parse(result) as readonly Node[]).filter((value) => value !== '');
}

function leaves(nodes: readonly Node[]): readonly string[] {
  return nodes.flatMap((node) =>
    Object.entries(node).flatMap(([name, inner]) => {
      if (name === '#text') return typeof inner === 'string' ? [inner] : [];
      return Array.isArray(inner) ? leaves(inner as readonly Node[]) : [];
    }),
  );
}
