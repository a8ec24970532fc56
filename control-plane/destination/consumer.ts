/** Who asks, as far as endpoints depend on it. Source: linkerd2 context token. */
export type Consumer = { readonly namespace?: string; readonly nodeName?: string };

/** Reads a context token; one that cannot be read says nothing. */
export function parseConsumer(token: string): Consumer {
  if (token.startsWith('ns:')) return { namespace: token.slice(3) };
  let value: unknown;
  try {
    value = JSON.parse(token);
  } catch {
    return {};
  }
  if (typeof value !== 'object' || value === null) return {};
  const { ns, nodeName } = value as { readonly ns?: unknown; readonly nodeName?: unknown };
  return {
    ...(typeof ns === 'string' && { namespace: ns }),
    ...(typeof nodeName === 'string' && { nodeName }),
  };
}
