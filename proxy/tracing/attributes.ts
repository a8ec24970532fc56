import { readFileSync } from 'node:fs';
import type { Logger } from '#runtime/log.ts';

/** What is told of this proxy with its spans. */
export type ResourceConfig = {
  readonly serviceName: string;
  /** File with the labels of the pod, as the downward API writes them. */
  readonly attributesPath: string | undefined;
  readonly extraAttributes: string; // name=value, one in each line
  /** As OpenTelemetry has it: name=value, separated by commas. */
  readonly resourceAttributes: string;
  readonly hostName: string | undefined;
};

const ATTRIBUTES_MAX = 128;
const FILE_BYTES_MAX = 64 * 1024;

/** Later ones win: service name, labels of the pod, extra attributes, OTEL_RESOURCE_ATTRIBUTES. Source: linkerd2-proxy. */
export function resourceAttributes(config: ResourceConfig, log: Logger): Readonly<Record<string, string>> {
  const { serviceName, attributesPath, extraAttributes, resourceAttributes: otel, hostName } = config;
  const all = {
    ...(hostName !== undefined && { 'host.name': hostName }),
    'service.name': serviceName,
    ...(attributesPath !== undefined && parseLines(readFile(attributesPath, log))),
    ...parseLines(extraAttributes),
    ...parseLines(otel.replaceAll(',', '\n')),
  };
  return Object.fromEntries(Object.entries(all).slice(0, ATTRIBUTES_MAX));
}

/** Lines of the form `name=value` or `name="value"`; others are passed over. */
export function parseLines(text: string): Readonly<Record<string, string>> {
  const entries = text.split('\n').flatMap((line): readonly (readonly [string, string])[] => {
    const equals = line.indexOf('=');
    const name = line.slice(0, Math.max(equals, 0)).trim();
    return name === ''
      ? []
      : [
          [
            name,
            line
              .slice(equals + 1)
              .trim()
              .replace(/^"+|"+$/g, ''),
          ],
        ];
  });
  return Object.fromEntries(entries);
}

function readFile(path: string, log: Logger): string {
  try {
    return readFileSync(path, 'utf8').slice(0, FILE_BYTES_MAX);
  } catch (error) {
    log.warn({ path, err: error }, 'attributes for traces cannot be read');
    return '';
  }
}
