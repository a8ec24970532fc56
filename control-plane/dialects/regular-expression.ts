/** @returns why a regular expression cannot be used, or nothing. It must be understood by Rust's and by this engine. */
export function regexProblem(pattern: string): string | undefined {
  if (pattern.length > PATTERN_LENGTH_MAX) return `is longer than ${PATTERN_LENGTH_MAX} characters`;
  try {
    const compiled = new RegExp(`^(?:${pattern})$`, 'u');
    return compiled.source === '' ? 'is empty' : undefined;
  } catch (error) {
    return `"${pattern}" is not a regular expression: ${error instanceof Error ? error.message : String(error)}`;
  }
}

const PATTERN_LENGTH_MAX = 1024;
