import type { Terminal } from '../command.ts';
import type { Result } from './check.ts';

export type ReportFormat = 'table' | 'short' | 'json';

const SYMBOLS = {
  success: { text: '√', colour: '32' },
  warning: { text: '‼', colour: '33' },
  error: { text: '×', colour: '31' },
} as const;

/** Prints results as they come (table, short) or at the end (json). Form: `linkerd check`. */
export class Report {
  readonly #terminal: Terminal;
  readonly #format: ReportFormat;
  readonly #results: Result[] = [];
  #category = '';

  constructor(terminal: Terminal, format: ReportFormat) {
    this.#terminal = terminal;
    this.#format = format;
  }

  add(result: Result): void {
    this.#results.push(result);
    if (this.#format === 'json' || (this.#format === 'short' && result.result === 'success')) return;
    if (result.category !== this.#category) {
      const gap = this.#category === '' ? '' : '\n';
      this.#terminal.out(`${gap}${result.category}\n${'-'.repeat(result.category.length)}\n`);
      this.#category = result.category;
    }
    this.#terminal.out(`${this.#symbol(result.result)} ${result.description}\n`);
    if (result.note !== undefined) this.#terminal.out(`    ${result.note.replaceAll('\n', '\n    ')}\n`);
    if (result.error !== undefined) {
      this.#terminal.out(`    ${result.error.replaceAll('\n', '\n    ')}\n    hint: ${result.hint}\n`);
    }
  }

  finish(isSuccess: boolean): void {
    if (this.#format === 'json') {
      this.#terminal.out(`${JSON.stringify({ success: isSuccess, categories: this.#categories() }, null, 2)}\n`);
      return;
    }
    const gap = this.#category === '' ? '' : '\n';
    const warnings = this.#results.filter(({ result }) => result === 'warning').length;
    // Linkerd's line, which scripts look for, stays at the front.
    const more = warnings === 0 ? '' : `, with ${warnings} warning${warnings === 1 ? '' : 's'}`;
    this.#terminal.out(`${gap}Status check results are ${this.#symbol(isSuccess ? 'success' : 'error')}${more}\n`);
  }

  #categories(): readonly unknown[] {
    const names = [...new Set(this.#results.map(({ category }) => category))];
    return names.map((categoryName) => ({
      categoryName,
      checks: this.#results
        .filter(({ category }) => category === categoryName)
        .map(({ description, hint, error, note, result }) => ({
          description,
          ...(error === undefined ? {} : { hint, error }),
          ...(note === undefined ? {} : { note }),
          result,
        })),
    }));
  }

  #symbol(result: Result['result']): string {
    const { text, colour } = SYMBOLS[result];
    return this.#terminal.isColoured ? `\u001b[${colour};1m${text}\u001b[0m` : text;
  }
}
