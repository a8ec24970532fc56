import { RE2JS } from 're2js';

/** Source: our own bound, far above what routes need. */
const PATTERN_LENGTH_MAX = 1024;

/** A regular expression cannot be used. The message says why. */
export class PatternError extends Error {
  override readonly name = 'PatternError';
}

/**
 * A regular expression in the syntax of RE2, which is that of Linkerd's proxy in all that both can do: no look-around and
 * no back references. Matching takes time in proportion to the text, whatever the pattern: nobody can stop a proxy with a path.
 */
export class Pattern {
  readonly #compiled: RE2JS;

  /** @throws PatternError */
  constructor(source: string) {
    if (source.length > PATTERN_LENGTH_MAX) throw new PatternError(`is longer than ${PATTERN_LENGTH_MAX} characters`);
    try {
      this.#compiled = RE2JS.compile(source);
    } catch (error) {
      const reason = (error instanceof Error ? error.message : String(error)).replace('error parsing regexp: ', '');
      throw new PatternError(`"${source}" is not a regular expression: ${reason}`);
    }
  }

  /** Whether the pattern matches the whole text. */
  matches(text: string): boolean {
    return this.#compiled.matches(text);
  }

  /** Whether the pattern matches a part of the text. */
  isFoundIn(text: string): boolean {
    return this.#compiled.matcher(text).find();
  }
}

/** Patterns that were used, each compiled once. */
export class Patterns {
  readonly #compiled = new Map<string, Pattern | undefined>();
  readonly #max: number;

  /** @param max  patterns that are kept; above it the oldest is compiled again when it is needed */
  constructor(max: number) {
    this.#max = max;
  }

  /** One that does not compile matches nothing: whoever wrote it was told where it was read. */
  readonly matches = (source: string, text: string): boolean => this.find(source)?.matches(text) === true;

  /** @returns nothing for what does not compile */
  find(source: string): Pattern | undefined {
    let pattern = this.#compiled.get(source);
    if (pattern === undefined && !this.#compiled.has(source)) {
      pattern = compiled(source);
      const oldest = this.#compiled.keys().next();
      if (this.#compiled.size >= this.#max && oldest.done !== true) this.#compiled.delete(oldest.value);
      this.#compiled.set(source, pattern);
    }
    return pattern;
  }
}

function compiled(source: string): Pattern | undefined {
  try {
    return new Pattern(source);
  } catch (error) {
    if (error instanceof PatternError) return undefined;
    throw error;
  }
}
