import { expect } from 'chai';
import { XMLParser } from 'fast-xml-parser';
import { type RunningPool } from '../../../src/simulator/index.js';

const parser = new XMLParser({ parseTagValue: false, isArray: (name) => name === 'member' || name === 'value' });

export type XmlValue = string | Readonly<Record<string, unknown>>;
interface XmlMember {
  readonly name: string;
  readonly value: readonly XmlValue[];
}

/** The records that an XML-RPC call gives, by reference and field, values as they stand in the XML. */
export async function xmlRecords(
  pool: RunningPool,
  session: string,
  method: string,
): Promise<Map<string, Map<string, XmlValue>>> {
  const body = `<methodCall><methodName>${method}</methodName><params><param><value>${session}</value></param></params></methodCall>`;
  const text = await (await fetch(`${pool.httpUrl}/RPC2`, { method: 'POST', body })).text();
  const answer = parser.parse(text) as { methodResponse: { params: { param: { value: XmlValue[] } } } };
  const [status, value] = membersOf(answer.methodResponse.params.param.value[0]);
  expect(status?.[1], method).to.equal('Success');
  return new Map(membersOf(value?.[1]).map(([ref, record]) => [ref, new Map(membersOf(record))]));
}

function membersOf(value: XmlValue | undefined): readonly (readonly [string, XmlValue])[] {
  const struct = isObject(value) ? value.struct : undefined;
  const members = isObject(struct) ? (struct.member as XmlMember[]) : [];
  return members.map(({ name, value: values }) => [name, values[0] ?? '']);
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
