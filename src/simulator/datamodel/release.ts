import { SimulatedFailure } from '../simulated-failure.js';

/** A release that the pool can play. */
export interface Release {
  /** The name to ask for: `8.3`. */
  readonly name: string;
  /** Where it stands in the datamodel's lifecycles: a code name up to 8.2, XAPI's own version from then on. */
  readonly lifecycle: string;
  readonly productVersion: string;
  readonly platformVersion: string;
  readonly xapiVersion: string;
  readonly xenVersion: string;
  readonly apiMinor: number;
  /** Of the database; it is {@link SCHEMA_MAJOR} before the point everywhere. */
  readonly schemaMinor: number;
}

export const SCHEMA_MAJOR = 5;

/** The schema numbers of 7.1, 7.2 and 8.3 are XAPI's own; the others only stand in the same order. */
const RELEASES: readonly Release[] = [
  release('7.1', 'ely', '7.1.0', '2.2.0', '1.14.0', '4.7.1', 6, 108),
  release('7.2', 'falcon', '7.2.0', '2.3.0', '1.20.0', '4.7.4', 7, 120),
  release('7.6', 'lima', '7.6.0', '2.7.1', '1.110.1', '4.7.6', 11, 146),
  release('8.0', 'naples', '8.0.0', '3.0.0', '1.160.1', '4.11.1', 12, 169),
  release('8.1', 'quebec', '8.1.0', '3.1.0', '1.214.1', '4.13.0', 14, 207),
  release('8.2', 'stockholm', '8.2.1', '3.2.1', '1.249.32', '4.13.5', 15, 602),
  release('8.3', '24.19.2', '8.3.0', '3.4.0', '24.19.2', '4.17.4', 21, 779),
  release('9.0', '26.17.0', '9.0.0', '3.5.0', '26.17.0', '4.20.1', 22, 901),
];

export const DEFAULT_RELEASE = '8.3';

function release(
  name: string,
  lifecycle: string,
  productVersion: string,
  platformVersion: string,
  xapiVersion: string,
  xenVersion: string,
  apiMinor: number,
  schemaMinor: number,
): Release {
  return { name, lifecycle, productVersion, platformVersion, xapiVersion, xenVersion, apiMinor, schemaMinor };
}

/** The names of all releases, oldest first. */
export const RELEASE_NAMES: readonly string[] = RELEASES.map(({ name }) => name);

/** Throws INVALID_VALUE for a release that is not in the list. */
export function releaseNamed(name: string): Release {
  const found = RELEASES.find((one) => one.name === name);
  if (found === undefined) {
    throw new SimulatedFailure('INVALID_VALUE', ['release', `${name} (known: ${RELEASE_NAMES.join(', ')})`]);
  }
  return found;
}

/** Puts code names and version numbers on one scale: code names are older than any number. */
export function compareLifecycles(codeNames: readonly string[], a: string, b: string): number {
  const left = place(codeNames, a);
  const right = place(codeNames, b);
  for (let index = 0; index < left.length; index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function place(codeNames: readonly string[], lifecycle: string): readonly number[] {
  if (!/^\d/.test(lifecycle)) return [codeNames.indexOf(lifecycle), 0, 0, 0];
  const [major = 0, minor = 0, patch = 0] = lifecycle.split('.').map(Number);
  return [codeNames.length, major, minor, patch];
}
