import { DurationError, parseDurationMs } from './duration.ts';
import { LOG_LEVELS, type LogLevel } from './log.ts';

/** Settings that are missing or wrong, all of them at once, one sentence each. */
export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError';
}

/** Reads settings from the environment of a process and collects everything that is wrong with them. */
export class EnvironmentReader {
  readonly #environment: Readonly<Record<string, string | undefined>>;
  readonly #problems: string[] = [];

  constructor(environment: Readonly<Record<string, string | undefined>>) {
    this.#environment = environment;
  }

  /** A setting that is empty counts as absent. */
  optional(key: string): string | undefined {
    const text = this.#environment[key]?.trim();
    return text === '' ? undefined : text;
  }

  text(key: string, fallback: string): string {
    return this.optional(key) ?? fallback;
  }

  oneOf<const T extends string>(key: string, choices: readonly T[], fallback: T): T {
    const text = this.optional(key) ?? fallback;
    const found = choices.find((choice) => choice === text);
    if (found === undefined) this.problem(key, text, `use one of ${choices.join(', ')}`);
    return found ?? fallback;
  }

  logLevel(key: string): LogLevel {
    return this.oneOf(key, LOG_LEVELS, 'info');
  }

  /** 0 asks the system for a free port. */
  port(key: string, fallback: number): number {
    return this.integer(key, fallback, 0, 65_535);
  }

  integer(key: string, fallback: number, min: number, max: number): number {
    const text = this.optional(key);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    this.problem(key, text, `use a whole number from ${min} to ${max}`);
    return fallback;
  }

  boolean(key: string, fallback: boolean): boolean {
    return this.oneOf(key, ['true', 'false'], fallback ? 'true' : 'false') === 'true';
  }

  /** @param minMs  smallest duration that makes sense */
  durationMs(key: string, fallback: string, minMs: number): number {
    const text = this.text(key, fallback);
    try {
      const durationMs = parseDurationMs(text);
      if (durationMs < minMs) this.problem(key, text, `use at least ${minMs}ms`);
      return durationMs;
    } catch (error) {
      if (!(error instanceof DurationError)) throw error;
      this.#problems.push(`${key}: ${error.message}`);
      return parseDurationMs(fallback);
    }
  }

  /** Reads a setting in a form of its own. @param parse  returns nothing when the text is wrong */
  parsed<T>(key: string, fallback: string, parse: (text: string) => T | undefined, remedy: string): T | undefined {
    const text = this.text(key, fallback);
    const value = parse(text);
    if (value === undefined) this.problem(key, text, remedy);
    return value;
  }

  problem(key: string, text: string, remedy: string): void {
    this.#problems.push(`${key} is "${text}": ${remedy}`);
  }

  /** Call once, after everything is read. @throws EnvironmentError */
  check(): void {
    if (this.#problems.length > 0) throw new EnvironmentError(this.#problems.join('; '));
  }
}
