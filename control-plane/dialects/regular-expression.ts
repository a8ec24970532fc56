import { Pattern, PatternError } from '#runtime/pattern.ts';

/** @returns why a regular expression of a resource cannot be used, or nothing */
export function regexProblem(source: string): string | undefined {
  if (source === '') return 'is empty';
  try {
    new Pattern(source).matches('');
    return undefined;
  } catch (error) {
    if (error instanceof PatternError) return error.message;
    throw error;
  }
}
