/** What went wrong, in one line: errors of parsers and of the network often have several, or none. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) {
    // The WebSocket of a port-forward reports an event that carries the error.
    const { message, error: inner } = (error ?? {}) as { message?: unknown; error?: unknown };
    if (inner instanceof Error) return reasonOf(inner);
    return typeof message === 'string' && message !== '' ? firstLine(message) : String(error);
  }
  // Both address families refused: Node reports an AggregateError without a message.
  if (error.message === '') return (error as NodeJS.ErrnoException).code ?? error.name;
  return firstLine(error.message);
}

function firstLine(text: string): string {
  return (text.split('\n').find((line) => line.trim() !== '') ?? '').trim().replace(/:$/, '');
}
