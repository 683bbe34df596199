/** Text of one cell, and how it is painted when it stands in its place. */
export interface TableCell {
  readonly text: string;
  readonly paint?: (text: string) => string;
}

const GAP = '  ';
/** East Asian text and pictures: two places of a terminal each. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
/** Accents, joiners and what tells how the character before looks: no place. */
const WITHOUT_WIDTH = /[\p{Mn}\p{Me}\p{Cf}]/u;
const ASCII = /^[\x20-\x7e]*$/;

/** Places of a terminal that a text takes. */
export function textWidth(text: string): number {
  if (ASCII.test(text)) return text.length;
  let width = 0;
  for (const character of text) {
    if (!WITHOUT_WIDTH.test(character)) width += WIDE.test(character) ? 2 : 1;
  }
  return width;
}

/**
 * Lines of columns that stand below each other, two spaces between; `right` names the columns that hold numbers. Time and
 * memory grow with the rows, of which a large pool has twenty thousand.
 */
export function tableLines(rows: readonly (readonly TableCell[])[], right: readonly number[] = []): readonly string[] {
  const measured = rows.map((row) => row.map((cell) => ({ ...cell, width: textWidth(cell.text) })));
  const widths: number[] = [];
  for (const row of measured) {
    row.forEach(({ width }, column) => (widths[column] = Math.max(widths[column] ?? 0, width)));
  }
  return measured.map((row) =>
    row
      .map(({ text, paint, width }, column) => {
        const padding = ' '.repeat((widths[column] ?? 0) - width);
        const painted = paint?.(text) ?? text;
        return right.includes(column) ? padding + painted : painted + padding;
      })
      .join(GAP)
      .trimEnd(),
  );
}
