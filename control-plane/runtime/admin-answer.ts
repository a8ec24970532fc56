/** What an admin endpoint answers to one request. */
export type AdminAnswer = {
  readonly status: number;
  readonly body: string;
  /** Methods that would have been allowed. */
  readonly allow?: string;
};

/**
 * What every process answers about itself, read-only.
 *
 * @param target    of the request, with its query
 * @param notReady  why the process is not ready, in words for a person; empty when it is
 * @returns `metrics` when they are asked for
 */
export function adminAnswer(
  method: string,
  target: string,
  notReady: () => readonly string[],
): AdminAnswer | 'metrics' {
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, body: 'method not allowed\n', allow: 'GET, HEAD' };
  switch (target.split('?', 1)[0]) {
    case '/live':
      return { status: 200, body: 'live\n' };
    case '/ready': {
      const reasons = notReady();
      if (reasons.length === 0) return { status: 200, body: 'ready\n' };
      return { status: 503, body: `not ready: ${reasons.join('; ')}\n` };
    }
    case '/metrics':
      return 'metrics';
    default:
      return { status: 404, body: 'not found\n' };
  }
}
