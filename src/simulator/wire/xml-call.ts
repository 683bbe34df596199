import { XMLParser } from 'fast-xml-parser';
import { MalformedRequest } from './malformed-request.js';
import { type RpcValue } from './rpc-value.js';

/** A call as it came in. */
export interface IncomingCall {
  readonly method: string;
  readonly params: readonly RpcValue[];
}

type XmlNode = Readonly<Record<string, unknown>>;

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: true,
  parseTagValue: false,
  trimValues: false,
  ignoreDeclaration: true,
  processEntities: true,
  htmlEntities: false,
});

/** Reads `<methodCall>`. Throws MalformedRequest when the text is no XML, or no call. */
export function parseXmlCall(text: string): IncomingCall {
  if (!text.trimStart().startsWith('<')) throw new MalformedRequest('Xmlm.Error(1:1, "expected root element")');
  if (!text.trimEnd().endsWith('</methodCall>')) {
    throw new MalformedRequest(`Xmlm.Error(1:${text.length + 1}, "unexpected end of input")`);
  }
  const call = childrenNamed(parseXml(text), 'methodCall')[0];
  const name = call && childrenNamed(call, 'methodName')[0];
  if (call === undefined || name === undefined)
    throw new MalformedRequest('Xmlrpc.Parse_error("open_tag", "methodCall", "")');
  const params = childrenNamed(call, 'params')[0] ?? [];
  return {
    method: textIn(name).trim(),
    params: childrenNamed(params, 'param').map((param) => valueOf(childrenNamed(param, 'value')[0])),
  };
}

function parseXml(text: string): readonly XmlNode[] {
  try {
    return parser.parse(text) as XmlNode[];
  } catch (error) {
    throw new MalformedRequest(`Xmlm.Error(1:1, "${error instanceof Error ? error.message : 'malformed'}")`);
  }
}

function valueOf(children: readonly XmlNode[] | undefined): RpcValue {
  if (children === undefined) throw new MalformedRequest('Xmlrpc.Parse_error("open_tag", "value", "")');
  const element = children.find((node) => tagOf(node) !== '#text');
  if (element === undefined) return { tag: 'string', value: textIn(children) };
  const tag = tagOf(element);
  const inner = childrenOf(element, tag);
  switch (tag) {
    case 'string':
      return { tag: 'string', value: textIn(inner) };
    case 'int':
    case 'i4':
    case 'i8':
      return { tag: 'int64', value: Number(textIn(inner)) };
    case 'double':
      return { tag: 'float', value: Number(textIn(inner)) };
    case 'boolean':
      return { tag: 'bool', value: textIn(inner).trim() === '1' };
    case 'dateTime.iso8601':
      return { tag: 'date', value: textIn(inner) };
    case 'nil':
      return { tag: 'nil' };
    case 'array':
      return { tag: 'list', items: childrenNamed(childrenNamed(inner, 'data')[0] ?? [], 'value').map(valueOf) };
    case 'struct':
      return {
        tag: 'struct',
        members: childrenNamed(inner, 'member').map((member) => [
          textIn(childrenNamed(member, 'name')[0] ?? []),
          valueOf(childrenNamed(member, 'value')[0]),
        ]),
      };
    default:
      throw new MalformedRequest(`Xmlrpc.Parse_error("value", "${tag}", "")`);
  }
}

function childrenNamed(nodes: readonly XmlNode[], name: string): readonly (readonly XmlNode[])[] {
  return nodes.filter((node) => name in node).map((node) => childrenOf(node, name));
}

function childrenOf(node: XmlNode, name: string): readonly XmlNode[] {
  const children = node[name];
  return Array.isArray(children) ? (children as XmlNode[]) : [];
}

function tagOf(node: XmlNode): string {
  return Object.keys(node).find((key) => key !== ':@') ?? '#text';
}

function textIn(nodes: readonly XmlNode[]): string {
  return nodes.map((node) => (typeof node['#text'] === 'string' ? node['#text'] : '')).join('');
}
