import type { ProxyValues } from '#config/values.ts';

/** Where a proxy sends the spans of sampled traces. */
export type TracingSettings = {
  readonly collector: string; // host:port
  readonly serviceAccount: string; // of the collector
  readonly namespace: string; // of it
  readonly serviceName: string;
};

/** Annotations of a pod with this prefix are attributes of its spans. Source: linkerd2 `pkg/inject`. */
const ATTRIBUTE = 'resource.opentelemetry.io/';
const ATTRIBUTES_MAX = 32;
const VALUE_MAX = 256;

/** `host:port`. Source: `config.linkerd.io/trace-collector` of linkerd-jaeger. */
export function collectorAddress(text: string): string {
  const address = text.trim();
  const [, host = '', port = ''] = /^([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?\.?):(\d{1,5})$/.exec(address) ?? [];
  if (host === '' || Number(port) < 1 || Number(port) > 65_535) {
    throw new Error(`"${text}" is not HOST:PORT of a Service, such as collector.tracing:4317`);
  }
  return address;
}

export function serviceAccountName(text: string): string {
  if (!/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/.test(text.trim())) {
    throw new Error(`"${text}" is not the name of a service account`);
  }
  return text.trim();
}

/**
 * The proxy does not start with a collector whose identity it does not know, so there is none without.
 *
 * @param collector       of an annotation; its namespace is the second part of its name
 * @param serviceAccount  of an annotation
 * @returns nothing when proxies are not to trace, else the settings, or what is missing
 */
export function tracingSettings(
  { tracing }: ProxyValues,
  collector: string | undefined,
  serviceAccount: string | undefined,
): TracingSettings | { readonly missing: string } | undefined {
  const { enabled, traceServiceName: serviceName, collector: installed } = tracing;
  const { serviceAccountName: installedAccount, namespace } = installed.meshIdentity;
  if (collector === undefined) {
    if (!enabled) return undefined;
    return {
      collector: installed.endpoint,
      serviceAccount: serviceAccount ?? installedAccount,
      namespace,
      serviceName,
    };
  }
  const [, own] = collector.replace(/:\d+$/, '').split('.');
  if (own === undefined || own === '') return { missing: `"${collector}" does not name a namespace` };
  const account = serviceAccount ?? (installedAccount === '' ? undefined : installedAccount);
  if (account === undefined) return { missing: 'the service account of the collector is not known' };
  return { collector, serviceAccount: account, namespace: own, serviceName };
}

/** Attributes in the form of `TRACE_EXTRA_ATTRIBUTES`; those that could not be one line are left out. */
export function attributeLines(podAnnotations: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(podAnnotations)
    .filter(([name]) => name.startsWith(ATTRIBUTE))
    .map(([name, value]) => [name.slice(ATTRIBUTE.length), value] as const)
    .filter(([name, value]) => /^[\w.-]{1,63}$/.test(name) && /^[^\r\n]*$/.test(value) && value.length <= VALUE_MAX)
    .slice(0, ATTRIBUTES_MAX)
    .map(([name, value]) => `${name}=${value.replaceAll('$', '$$$$')}`); // Kubernetes would take $(x) for a variable
}
