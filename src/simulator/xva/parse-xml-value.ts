import { XMLParser } from 'fast-xml-parser';
import { SimulatedFailure } from '../simulated-failure.js';

/** An XML-RPC value without types: numbers and dates are text still, as an importer sees them. */
export type XmlTree = string | boolean | readonly XmlTree[] | XmlStruct;
export interface XmlStruct {
  readonly [name: string]: XmlTree;
}

type Node = Readonly<Record<string, readonly Node[] | string>>;

const parser = new XMLParser({
  preserveOrder: true,
  parseTagValue: false,
  trimValues: false,
  ignoreAttributes: true,
  ignoreDeclaration: true,
  processEntities: { enabled: true, maxTotalExpansions: Infinity, maxExpandedLength: Infinity },
});

/** Reads one `<value>`. Throws INTERNAL_ERROR for anything that is not one. */
export function parseXmlValue(xml: string): XmlTree {
  assertBalanced(xml);
  const nodes = parser.parse(xml) as readonly Node[];
  const value = nodes.find((node) => 'value' in node);
  if (value === undefined) throw malformed('no value');
  return treeOf(childrenOf(value, 'value'));
}

function treeOf(nodes: readonly Node[]): XmlTree {
  const element = nodes.find((node) => !('#text' in node));
  if (element === undefined) return textIn(nodes);
  const tag = Object.keys(element)[0] ?? '';
  const children = childrenOf(element, tag);
  switch (tag) {
    case 'struct':
      return Object.fromEntries(elements(children, 'member').map(memberOf));
    case 'array': {
      const data = elements(children, 'data')[0];
      return data === undefined
        ? []
        : elements(childrenOf(data, 'data'), 'value').map((item) => treeOf(childrenOf(item, 'value')));
    }
    case 'boolean':
      return textIn(children) === '1';
    case 'nil':
      return '';
    default:
      return textIn(children);
  }
}

function memberOf(member: Node): readonly [string, XmlTree] {
  const parts = childrenOf(member, 'member');
  const name = elements(parts, 'name')[0];
  const value = elements(parts, 'value')[0];
  if (name === undefined || value === undefined) throw malformed('member without name or value');
  return [textIn(childrenOf(name, 'name')), treeOf(childrenOf(value, 'value'))];
}

function elements(nodes: readonly Node[], tag: string): readonly Node[] {
  return nodes.filter((node) => tag in node);
}

function childrenOf(node: Node, tag: string): readonly Node[] {
  const children = node[tag];
  return typeof children === 'object' ? children : [];
}

function textIn(nodes: readonly Node[]): string {
  return nodes.map((node) => (typeof node['#text'] === 'string' ? node['#text'] : '')).join('');
}

function malformed(reason: string): SimulatedFailure {
  return new SimulatedFailure('INTERNAL_ERROR', [`Xmlm.Error(1:1, "${reason}")`]);
}

/** The parser lets unclosed elements pass; an importer must not. */
function assertBalanced(xml: string): void {
  const open: string[] = [];
  for (const [, slash, tag = '', isEmpty] of xml.matchAll(/<(\/?)([A-Za-z][\w.:-]*)[^<>]*?(\/?)>/g)) {
    if (slash === '/') {
      if (open.pop() !== tag) throw malformed(`unexpected end of element ${tag}`);
    } else if (isEmpty !== '/') open.push(tag);
  }
  if (open.length > 0) throw malformed('unexpected end of input');
}
