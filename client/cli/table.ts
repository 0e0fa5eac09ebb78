/** How a cell shows what it means: good, in between, bad, or of no matter. */
export type Tone = 'good' | 'busy' | 'bad' | 'dim' | 'plain';

/** A cell with a tone; a plain string has none. */
export interface TonedCell {
  readonly text: string;
  readonly tone: Tone;
}

/** What stands in one column of one row. */
export type Cell = string | TonedCell;

/** One column of a table of `T`. */
export interface Column<T> {
  readonly title: string;
  readonly cell: (item: T, nowMs: number) => Cell;
  /** Leaves the column out where every cell of it is empty. */
  readonly optional?: boolean;
}

const codes: Readonly<Record<Tone, string>> = {
  good: '32',
  busy: '33',
  bad: '31',
  dim: '2',
  plain: '0',
};

/** A text in the colour of its tone. */
export function paint(text: string, tone: Tone, colours: boolean): string {
  return colours && tone !== 'plain' && text !== ''
    ? `\u001b[${codes[tone]}m${text}\u001b[0m`
    : text;
}

/** Lines of a table with a line of titles; the last column is not padded. */
export function renderTable<T>(
  columns: readonly Column<T>[],
  items: readonly T[],
  { nowMs, colours }: { readonly nowMs: number; readonly colours: boolean },
): string[] {
  const all = columns.map((column) => ({
    column,
    cells: items.map((item) => toned(column.cell(item, nowMs))),
  }));
  const shown = all.filter(
    ({ column, cells }) => column.optional !== true || cells.some(({ text }) => text !== ''),
  );
  const widths = shown.map(({ column, cells }) =>
    Math.max(column.title.length, ...cells.map(({ text }) => text.length)),
  );
  const line = (row: readonly TonedCell[]) =>
    row
      .map(({ text, tone }, index) => {
        const padding = index === row.length - 1 ? 0 : (widths[index] ?? 0) - text.length;
        return paint(text, tone, colours) + ' '.repeat(padding);
      })
      .join('  ')
      .trimEnd();
  const titles = shown.map(({ column }) => ({ text: column.title, tone: 'plain' as const }));
  const rows = items.map((_item, row) => shown.flatMap(({ cells }) => cells.slice(row, row + 1)));
  return [titles, ...rows].map(line);
}

function toned(cell: Cell): TonedCell {
  const { text, tone } = typeof cell === 'string' ? { text: cell, tone: 'plain' as const } : cell;
  // A line of a table is a line: messages may come from images and engines.
  return { text: oneLine(text), tone };
}

/** Without line breaks and control characters, which could redraw a terminal. */
export function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ');
}

/** `45s`, `12m`, `3h`, `8d`: the largest unit that is at least two, or one of the smallest. */
export function age(since: Date | undefined, nowMs: number): string {
  if (since === undefined) return '';
  const seconds = Math.max(0, Math.round((nowMs - since.getTime()) / 1_000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}
