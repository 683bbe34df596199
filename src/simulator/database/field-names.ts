const NAMESPACES = /^(name|memory|VCPUs|actions|PV|HVM|qos|io|API_version)_(.+)$/;
/** Their fields have no namespaces in the database, whatever they are called. */
const PLAIN = new Set(['pool', 'role', 'VM_guest_metrics']);

/** The name of a field in XAPI's database, where two underscores end a namespace: `name__label`. */
export function databaseFieldName(cls: string, field: string): string {
  return PLAIN.has(cls) ? field : field.replace(NAMESPACES, '$1__$2');
}
