import { CommandError } from '../command.ts';

/** How bad a finding is: `fatal` ends the run, `error` fails it, `warning` does not. */
export type Severity = 'fatal' | 'error' | 'warning';

/** A check's finding: what is wrong, for a person. Anything else that a check throws is reported with its message. */
export class Finding extends Error {
  override readonly name = 'Finding';
  readonly hint: string | undefined; // what to do, where the check's own hint does not fit
  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

const MAX_REPORTED = 10;

/**
 * @param hint  where the check's own does not fit
 * @throws Finding  when there is something to report: a line each, of the first ten
 */
export function report(found: readonly string[], hint?: string): void {
  const more = found.length > MAX_REPORTED ? [`and ${found.length - MAX_REPORTED} more`] : [];
  if (found.length > 0) throw new Finding([...found.slice(0, MAX_REPORTED), ...more].join('\n'), hint);
}

/** Advice, or how to find out which one fits the installation; that never rejects. */
export type Hint = string | (() => Promise<string>);

/** Lines below a check that succeeded. */
export type Note = { readonly note: string };

export type Check = {
  readonly description: string;
  readonly hint: Hint; // what to do when it fails
  readonly severity: Severity;
  /** Tried again until the deadline of the run, for what needs a moment after an installation. */
  readonly isRetried?: boolean;
  /** @returns 'skip' when the check does not apply, or what is worth showing though all is well; throws when it fails */
  readonly run: () => Promise<void | 'skip' | Note>;
};

export type Category = { readonly name: string; readonly checks: readonly Check[] };

export type Result = {
  readonly category: string;
  readonly description: string;
  readonly result: 'success' | 'warning' | 'error';
  readonly error?: string;
  readonly hint?: string; // with an error
  readonly note?: string;
};

export type RunOptions = {
  readonly deadlineMs: number; // for checks that are retried, all together, from the first one that has to wait
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  readonly onResult: (result: Result) => void;
  /** Told once for a check that is tried again, with what is still wrong. */
  readonly onWait?: (check: Check, error: string) => void;
};

const RETRY_MS = 500;

/**
 * Runs the categories in order and reports each result as it comes. After a fatal failure nothing else runs.
 *
 * @returns true when nothing worse than a warning was found
 */
export async function runChecks(categories: readonly Category[], options: RunOptions): Promise<boolean> {
  let endMs: number | undefined;
  // From the first failure on: a slow cluster must not use up the time before anything was waited for.
  const mayRetry = (): boolean => {
    endMs ??= options.now() + options.deadlineMs;
    return options.now() + RETRY_MS <= endMs;
  };
  let isSuccess = true;
  for (const { name, checks } of categories) {
    for (const check of checks) {
      const outcome = await attempt(check, mayRetry, options);
      if (outcome === 'skip') continue;
      const { description, hint, severity } = check;
      if (outcome === 'success' || 'note' in outcome) {
        const note = outcome === 'success' ? {} : outcome;
        options.onResult({ category: name, description, result: 'success', ...note });
        continue;
      }
      const result = severity === 'warning' ? 'warning' : 'error';
      const advice = outcome.hint ?? (typeof hint === 'string' ? hint : await hint());
      options.onResult({ category: name, description, result, error: outcome.error, hint: advice });
      if (check.severity !== 'warning') isSuccess = false;
      if (check.severity === 'fatal') return false;
    }
  }
  return isSuccess;
}

async function attempt(
  check: Check,
  mayRetry: () => boolean,
  options: RunOptions,
): Promise<'success' | 'skip' | Note | { readonly error: string; readonly hint?: string | undefined }> {
  for (let tries = 1; ; tries += 1) {
    try {
      return (await check.run()) ?? 'success';
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (check.isRetried !== true || !mayRetry())
        return {
          error: message,
          hint: error instanceof CommandError || error instanceof Finding ? error.hint : undefined,
        };
      if (tries === 1) options.onWait?.(check, message);
      await options.sleep(RETRY_MS);
    }
  }
}
