import { HttpMethod_Registered, Scheme_Registered } from '#api/gen/http_types.ts';
import type { ObserveRequest_Match, ObserveRequest_Match_Http } from '#api/gen/tap.ts';
import { workloadName, type Pod } from '../metrics-api/pods.ts';
import { parseSelector, selects } from '../metrics-api/selector.ts';

/** The body of `POST /api/tap`. */
export type TapBody = {
  readonly namespace: string; // where the caller's right is, and where the pods are
  readonly tapRequest: string; // name of the TapRequest
  readonly nonce: string;
  readonly kind: string;
  readonly name?: string;
  readonly selector?: string;
  readonly to?: string; // `deployment/web`
  readonly toNamespace?: string;
  readonly scheme?: string;
  readonly method?: string;
  readonly authority?: string; // exact
  readonly path?: string; // prefix
  readonly maxRps?: number;
  readonly headers?: boolean;
};

const MAX_RPS = 10_000;

/** JSON schema of the body: everything bounded, nothing unknown. */
export const TAP_BODY_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['namespace', 'tapRequest', 'nonce', 'kind'],
  properties: {
    ...Object.fromEntries(
      ['namespace', 'tapRequest', 'nonce', 'kind', 'name', 'to', 'toNamespace', 'scheme', 'method', 'authority'].map(
        (name) => [name, { type: 'string', minLength: 1, maxLength: 253 }],
      ),
    ),
    selector: { type: 'string', maxLength: 1024 },
    path: { type: 'string', maxLength: 1024 },
    maxRps: { type: 'integer', minimum: 1, maximum: MAX_RPS },
    headers: { type: 'boolean' },
  },
} as const;

/** Pods that are meant. @throws SelectorError */
export function tappedPods(body: TapBody, pods: readonly Pod[]): readonly Pod[] {
  const selector = body.selector === undefined ? [] : parseSelector(body.selector);
  return pods.filter(
    (pod) =>
      pod.namespace === body.namespace &&
      !pod.isFinished &&
      workloadName(pod, body.kind) !== undefined &&
      (body.name === undefined || workloadName(pod, body.kind) === body.name) &&
      selects(selector, pod.labels),
  );
}

/** What the proxies are asked to match. Source: linkerd2 `viz/tap/pkg`, `makeByResourceMatch`. */
export function tapMatches(body: TapBody): readonly ObserveRequest_Match[] {
  const http = (match: ObserveRequest_Match_Http['match']): ObserveRequest_Match => ({
    match: { $case: 'http', value: { match } },
  });
  const label = (key: string, value: string): ObserveRequest_Match => ({
    match: { $case: 'destinationLabel', value: { key, value } },
  });
  const [toKind = '', toName] = body.to?.split('/', 2) ?? [];
  const toNamespace = toKind === 'namespace' ? toName : body.toNamespace;
  return [
    ...(toName === undefined || toKind === 'namespace' ? [] : [label(toKind === 'job' ? 'k8s_job' : toKind, toName)]),
    ...(toNamespace === undefined ? [] : [label('namespace', toNamespace)]),
    ...(body.scheme === undefined
      ? []
      : [http({ $case: 'scheme', value: { type: registered(body.scheme.toUpperCase(), Scheme_Registered) } })]),
    ...(body.method === undefined
      ? []
      : [http({ $case: 'method', value: { type: registered(body.method.toUpperCase(), HttpMethod_Registered) } })]),
    ...(body.authority === undefined
      ? []
      : [http({ $case: 'authority', value: { match: { $case: 'exact', value: body.authority } } })]),
    ...(body.path === undefined
      ? []
      : [http({ $case: 'path', value: { match: { $case: 'prefix', value: body.path } } })]),
  ];
}

function registered<T extends number>(
  name: string,
  known: Readonly<Record<string, T>>,
): { $case: 'registered'; value: T } | { $case: 'unregistered'; value: string } {
  const value = known[name];
  return value === undefined ? { $case: 'unregistered', value: name } : { $case: 'registered', value };
}
