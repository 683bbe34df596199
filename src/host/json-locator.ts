/** Finds the line of something in a JSON text, so that an error can say where to look. */

export interface JsonPosition {
  /** Both from 1. */
  readonly line: number;
  readonly column: number;
}

/** Line and column of an offset. */
export function positionAt(text: string, offset: number): JsonPosition {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1) ?? '').length + 1 };
}

/** Where `JSON.parse` gave up, read from its message; undefined when it does not say. */
export function syntaxErrorPosition(text: string, error: unknown): JsonPosition | undefined {
  const message = error instanceof Error ? error.message : '';
  const [, offset] = /at position (\d+)/.exec(message) ?? [];
  if (offset !== undefined) return positionAt(text, Number(offset));
  return message.includes('end of JSON input') ? positionAt(text, text.length) : undefined;
}

const TOKEN = /\s*("(?:[^"\\]|\\.)*"|[[\]{}:,]|[^\s[\]{}:,"]+)/gy;

/**
 * Where the value at `path` begins in a valid JSON text, or its nearest ancestor that is there. An array member is
 * addressed by its index.
 */
export function locateInJson(text: string, path: readonly PropertyKey[]): JsonPosition {
  const wanted = path.map(String);
  const tokens = [...text.matchAll(TOKEN)].map((match) => ({
    text: match[1] ?? '',
    offset: match.index + match[0].length - (match[1] ?? '').length,
  }));
  let at = 0;
  let best = { depth: -1, offset: 0 };

  const visit = (depth: number, isOnPath: boolean, keyOffset: number | undefined): void => {
    const token = tokens[at];
    if (token === undefined) return;
    if (isOnPath && depth > best.depth) best = { depth, offset: keyOffset ?? token.offset };
    at += 1;
    if (token.text !== '{' && token.text !== '[') return;
    const close = token.text === '{' ? '}' : ']';
    for (let index = 0; at < tokens.length && tokens[at]?.text !== close; index += 1) {
      let key = String(index);
      let offset: number | undefined;
      if (close === '}') {
        key = JSON.parse(tokens[at]?.text ?? '""') as string;
        offset = tokens[at]?.offset;
        at += 2;
      }
      visit(depth + 1, isOnPath && wanted[depth] === key, offset);
      if (tokens[at]?.text === ',') at += 1;
    }
    at += 1;
  };

  visit(0, true, undefined);
  return positionAt(text, best.offset);
}
