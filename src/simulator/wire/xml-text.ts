import { floatText, type RpcValue } from './rpc-value.js';

/** The XML-RPC spelling of a value, `<value>` included. Strings and 64-bit integers carry no type tag. */
export function toXmlText(value: RpcValue): string {
  switch (value.tag) {
    case 'nil':
      return '<value><nil/></value>';
    case 'bool':
      return `<value><boolean>${value.value ? 1 : 0}</boolean></value>`;
    case 'int64':
      return `<value>${value.value}</value>`;
    case 'int32':
      return `<value><i4>${value.value}</i4></value>`;
    case 'float':
      return `<value><double>${floatText(value.value)}</double></value>`;
    case 'string':
      return `<value>${escapeXml(value.value)}</value>`;
    case 'date':
      return `<value><dateTime.iso8601>${escapeXml(value.value)}</dateTime.iso8601></value>`;
    case 'list':
      return `<value><array><data>${value.items.map(toXmlText).join('')}</data></array></value>`;
    case 'struct': {
      const members = value.members.map(
        ([name, item]) => `<member><name>${escapeXml(name)}</name>${toXmlText(item)}</member>`,
      );
      return `<value><struct>${members.join('')}</struct></value>`;
    }
  }
}

/** Escapes as XAPI does, and leaves out control characters that XML cannot carry. */
export function escapeXml(text: string): string {
  let out = '';
  for (const character of text) out += ESCAPES[character] ?? (isForbidden(character) ? '' : character);
  return out;
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function isForbidden(character: string): boolean {
  const code = character.charCodeAt(0);
  return code < 0x20 && code !== 9 && code !== 10 && code !== 13;
}
