/** Keys whose values are never shown, whatever they hold. */
const SECRET_KEY = /pass(word|wd|phrase)?$|secret|token|session|authorization|cookie|credential/i;

const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/\b(session_id=)[^\s&;"']+/gi, '$1***'],
  [/\b(authorization:\s*\w+\s+)\S+/gi, '$1***'],
  [/(\w+:\/\/[^\s/:@"']*:)[^\s/@"']+@/g, '$1***@'],
];

/** Takes secrets out of what is shown or logged: the ones that were resolved, and what looks like one. */
export class Redactor {
  readonly #secrets = new Set<string>();

  /** A resolved secret. One that is very short would tear holes into ordinary words; it is left to the patterns. */
  add(secret: string): void {
    if (secret.length >= 4) this.#secrets.add(secret);
  }

  text(value: string): string {
    let result = value;
    for (const secret of this.#secrets) result = result.replaceAll(secret, '***');
    for (const [pattern, replacement] of PATTERNS) result = result.replace(pattern, replacement);
    return result;
  }

  /** A copy of a plain value with every secret taken out. Errors become their message; cycles and depth end in `...`. */
  value(value: unknown, depth = 0): unknown {
    if (typeof value === 'string') return this.text(value);
    if (value instanceof Error) return this.text(value.message);
    if (typeof value !== 'object' || value === null) return typeof value === 'bigint' ? value.toString() : value;
    if (depth >= 8) return '...';
    if (Array.isArray(value)) return value.map((entry) => this.value(entry, depth + 1));
    const entries = Object.entries(value).map(([key, entry]) => [
      key,
      SECRET_KEY.test(key) && entry !== undefined ? '***' : this.value(entry, depth + 1),
    ]);
    return Object.fromEntries(entries) as unknown;
  }
}
