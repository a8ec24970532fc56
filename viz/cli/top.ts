import { connect } from '../../cli/cluster.ts';
import { CLUSTER_FLAGS, optionalText, UsageError, type Command } from '../../cli/command.ts';
import { formatTable } from '../../cli/table.ts';
import { kindWords } from '../../cli/workloads.ts';
import type { TapJson } from '../tap/event.ts';
import { streamTap, TAP_FLAGS, tapQuery } from './tap-stream.ts';
import { TopTable, type TopRow } from './top-table.ts';

const REDRAW_MS = 250;
const ROWS_MAX = 200;
const ENTER = '\u001b[?1049h\u001b[?25l'; // alternate screen, no cursor
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H\u001b[2J';

export const vizTop: Command = {
  path: ['viz', 'top'],
  args: 'TYPE[/NAME]',
  words: kindWords().plain,
  summary: 'Show the busiest paths of a workload, live, from its requests.',
  details:
    'On a terminal the screen is drawn anew until q or Ctrl-C; with --once, or elsewhere, one table after --duration.\nNeeds the same right as `tulle viz tap`.',
  flags: {
    ...CLUSTER_FLAGS,
    ...TAP_FLAGS,
    'hide-sources': { type: 'boolean', help: 'count the requests of all sources together' },
    once: { type: 'boolean', help: 'print one table and end' },
    duration: { type: 'string', value: 'SECONDS', default: '10', help: 'how long to look with --once, 1 to 600' },
  },
  examples: ['tulle viz top deploy/web -n shop', 'tulle viz top ns/shop --hide-sources --once --duration 5'],
  run: async ({ flags, args, terminal }) => {
    const seconds = Number(optionalText(flags, 'duration'));
    if (!(seconds >= 1 && seconds <= 600)) throw new UsageError('--duration: use 1 to 600 seconds');
    const { stdin, stdout } = process;
    const isLive = flags['once'] !== true && stdout.isTTY;
    const cluster = await connect(flags);
    const hasSources = flags['hide-sources'] !== true;
    const table = new TopTable(hasSources);
    const stop = new AbortController();
    const query = tapQuery(flags, args, 'tulle viz top deploy/web', cluster.defaultNamespace);
    const onKey = (key: Buffer): void => {
      if (key.toString() === 'q' || key[0] === 3) stop.abort();
    };
    let redraw: NodeJS.Timeout | undefined;
    let end: NodeJS.Timeout | undefined;
    try {
      if (isLive) {
        if (stdin.isTTY) stdin.setRawMode(true).on('data', onKey);
        terminal.out(ENTER);
        redraw = setInterval(() => {
          const text = topText(table.rows(ROWS_MAX), hasSources).split('\n');
          terminal.out(`${HOME}(press q to quit)\n${text.slice(0, (stdout.rows || 24) - 2).join('\n')}`);
        }, REDRAW_MS);
      } else end = setTimeout(() => stop.abort(), seconds * 1000);
      const onEvent = (event: TapJson): boolean => {
        table.add(event);
        return true;
      };
      await streamTap(
        cluster,
        flags,
        query,
        onEvent,
        (note) => {
          if (!isLive) terminal.err(`tulle: ${note}\n`);
        },
        stop.signal,
      );
    } finally {
      clearInterval(redraw);
      clearTimeout(end);
      if (isLive) {
        terminal.out(LEAVE);
        if (stdin.isTTY) stdin.setRawMode(false).off('data', onKey).pause();
      }
      cluster.close();
    }
    if (!isLive) {
      const rows = table.rows(ROWS_MAX);
      if (rows.length === 0) terminal.err(`No requests within ${seconds} s.\n`);
      else terminal.out(topText(rows, hasSources));
    }
    return 0;
  },
};

/** The table of `linkerd viz top`. */
export function topText(rows: readonly TopRow[], hasSources: boolean): string {
  const right = (title: string): { title: string; align: 'right' } => ({ title, align: 'right' });
  return formatTable(
    [
      ...(hasSources ? [{ title: 'Source' }] : []),
      { title: 'Destination' },
      { title: 'Method' },
      { title: 'Path' },
      right('Count'),
      right('Best'),
      right('Worst'),
      right('Last'),
      right('Success Rate'),
    ],
    rows.map((row) => [
      ...(hasSources ? [row.source] : []),
      row.destination,
      row.method,
      row.path,
      String(row.count),
      duration(row.bestMs),
      duration(row.worstMs),
      duration(row.lastMs),
      `${((row.successes / row.count) * 100).toFixed(2)}%`,
    ]),
  );
}

function duration(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)}µs`;
  return ms < 1000 ? `${Math.round(ms)}ms` : `${(ms / 1000).toFixed(1)}s`;
}
