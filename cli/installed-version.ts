import { parse } from 'yaml';
import type { ApiObject } from './cluster.ts';

/** The version in ConfigMap `linkerd-config`, or undefined when its values cannot be read. */
export function installedVersion(config: ApiObject): string | undefined {
  const text = (config['data'] as Record<string, string> | undefined)?.['values'];
  try {
    const { version } = (parse(text ?? '') ?? {}) as { version?: unknown };
    return typeof version === 'string' ? version : undefined;
  } catch {
    return undefined; // not YAML: somebody edited it
  }
}
