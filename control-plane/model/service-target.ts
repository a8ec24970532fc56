/** What a client asked for by name. */
export type ServiceTarget = {
  readonly namespace: string;
  readonly service: string;
  readonly hostname?: string; // one instance of a headless Service
  readonly port: number;
};

const DEFAULT_PORT = 80;

/** Splits `host:port`, `[v6]:port` or `host`. @returns nothing when the port is none */
export function parseHostPort(path: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(path);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined) return undefined;
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  return port >= 1 && port <= 65_535 ? { host, port } : undefined;
}

/** Reads `<svc>.<ns>.svc.<domain>` or `<hostname>.<svc>.<ns>.svc.<domain>`. @returns nothing for any other name */
export function parseServiceName(host: string, port: number, clusterDomain: string): ServiceTarget | undefined {
  const suffix = `.svc.${clusterDomain}`;
  const name = host.endsWith('.') ? host.slice(0, -1) : host;
  if (!name.endsWith(suffix)) return undefined;
  const labels = name.slice(0, -suffix.length).split('.');
  if (labels.some((label) => label === '')) return undefined;
  const [first, second, third, ...rest] = labels;
  if (first === undefined || second === undefined || rest.length > 0) return undefined;
  if (third === undefined) return { service: first, namespace: second, port };
  return { hostname: first, service: second, namespace: third, port };
}
