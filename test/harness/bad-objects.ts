// Objects that are wrong, each in one way, and what the cluster must say about them.

/** An object without metadata, in namespace `depot`, and the words that name what is wrong: field and reason. */
export type BadObject = {
  readonly object: Readonly<Record<string, unknown>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly says: RegExp;
};

const WEB = { group: '', kind: 'Service', name: 'web', port: 8080 };
/** Routes whose backends are wrong act: only on requests that nobody sends. */
const NOBODY = [{ headers: [{ name: 'x-nobody', value: 'sends this' }] }];

function httpRoute(rule: object, says: RegExp, annotations: object = {}): BadObject {
  const spec = { parentRefs: [WEB], rules: [rule] };
  const object = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', spec };
  return { object, metadata: { annotations }, says };
}

function linkerdRoute(rule: object, says: RegExp): BadObject {
  return {
    object: { apiVersion: 'policy.linkerd.io/v1beta3', kind: 'HTTPRoute', spec: { parentRefs: [WEB], rules: [rule] } },
    says,
  };
}

function grpcRoute(rule: object, says: RegExp, annotations: object = {}): BadObject {
  const spec = { parentRefs: [WEB], rules: [rule] };
  const object = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'GRPCRoute', spec };
  return { object, metadata: { annotations }, says };
}

function childOf(parent: object, says: RegExp): BadObject {
  const spec = { parentRefs: [{ group: '', kind: 'Service', ...parent }], rules: [{}] };
  return { object: { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', spec }, says };
}

function profile(spec: object, says: RegExp, name = 'web.depot.svc.cluster.local'): BadObject {
  return {
    object: { apiVersion: 'linkerd.io/v1alpha2', kind: 'ServiceProfile', spec: { routes: [], ...spec } },
    metadata: { name },
    says,
  };
}

function profileRoute(fields: object, says: RegExp): BadObject {
  return profile({ routes: [{ name: 'r', condition: { method: 'GET' }, ...fields }] }, says);
}

function split(spec: object, says: RegExp, version = 'v1alpha2'): BadObject {
  return { object: { apiVersion: `split.smi-spec.io/${version}`, kind: 'TrafficSplit', spec }, says };
}

function service(annotations: Readonly<Record<string, string>>, reason: RegExp): BadObject {
  const [field = ''] = Object.keys(annotations);
  return {
    object: {
      apiVersion: 'v1',
      kind: 'Service',
      spec: { selector: { app: 'web-v1' }, ports: [{ name: 'http', port: 8080 }] },
    },
    metadata: { annotations },
    says: new RegExp(`${field.replaceAll('.', '\\.')}.*${reason.source}`),
  };
}

function policy(kind: string, version: string, spec: object, says: RegExp): BadObject {
  return { object: { apiVersion: `policy.linkerd.io/${version}`, kind, spec }, says };
}

const matching = (match: object): object => ({ matches: [match] });
const filtered = (filter: object): object => ({ filters: [filter] });
const ref = (name: string, more: object = {}): object => ({
  matches: NOBODY,
  backendRefs: [{ name, port: 8080, ...more }],
});
const ACCRUAL = 'balancer.linkerd.io/failure-accrual';
const SERVER = { group: 'policy.linkerd.io', kind: 'Server', name: 'web' };
const SELECTOR = { podSelector: { matchLabels: { app: 'web-v1' } } };

export const BAD_OBJECTS: readonly BadObject[] = [
  childOf({ name: 'gone' }, /TL0102 .*: spec\.parentRefs\[0\]: Service depot\/gone not found/),
  childOf({ name: 'web', port: 99 }, /TL0102 .*: spec\.parentRefs\[0\]: Service depot\/web has no port 99/),
  childOf(
    { name: 'web', sectionName: 'nope' },
    /TL0102 .*: spec\.parentRefs\[0\]: Service depot\/web has no port named "nope"/,
  ),
  childOf({ name: 'headless' }, /TL0102 .*: spec\.parentRefs\[0\]: Service depot\/headless has no cluster IP/),
  httpRoute(matching({ path: { type: 'RegularExpression', value: '(' } }), /matches\[0\]\.path\.value.*"\("/),
  httpRoute(matching({ path: { type: 'Exact', value: 'relative' } }), /matches\[0\]\.path.*\//),
  httpRoute(matching({ method: 'FETCH' }), /matches\[0\]\.method.*"FETCH"/),
  httpRoute(matching({ headers: [{ name: 'not a name', value: 'x' }] }), /headers\[0\]\.name.*"not a name"/),
  httpRoute(
    matching({ headers: [{ name: 'x', type: 'RegularExpression', value: '[' }] }),
    /matches\[0\]\.headers\[0\]\.value.*"\["/,
  ),
  httpRoute(
    matching({ queryParams: [{ name: 'q', type: 'RegularExpression', value: '*' }] }),
    /matches\[0\]\.queryParams\[0\]\.value.*"\*"/,
  ),
  httpRoute(
    filtered({ type: 'URLRewrite', urlRewrite: { hostname: 'not a host' } }),
    /urlRewrite\.hostname.*"not a host"/,
  ),
  httpRoute(
    filtered({ type: 'CORS', cors: { allowOrigins: ['*'] } }),
    /filters\[0\]\.type: filters of type "CORS" are not supported/,
  ),
  httpRoute(
    filtered({ type: 'RequestMirror', requestMirror: { backendRef: { name: 'gone', port: 8080 } } }),
    /TL0103 .*: .*requestMirror\.backendRef: Service depot\/gone not found/,
  ),
  httpRoute(
    filtered({ type: 'RequestRedirect', requestRedirect: { scheme: 'ftp' } }),
    /requestRedirect\.scheme.*"ftp"/,
  ),
  httpRoute(
    filtered({ type: 'RequestRedirect', requestRedirect: { statusCode: 418 } }),
    /requestRedirect\.statusCode.*418/,
  ),
  httpRoute({ timeouts: { request: 'soon' } }, /timeouts\.request.*"soon"/),
  httpRoute({ timeouts: { request: '1s', backendRequest: '2s' } }, /timeouts.*longer than|backendRequest timeout/),
  httpRoute(ref('gone'), /TL0103 .*: spec\.rules\[0\]\.backendRefs\[0\]: Service depot\/gone not found/),
  httpRoute(ref('web-v2', { port: 99 }), /TL0103 .*: .*backendRefs\[0\]: Service depot\/web-v2 has no port 99/),
  httpRoute(ref('a', { group: 'example.com', kind: 'Bucket' }), /TL0103 .*: .*backendRefs\[0\]: .*Bucket/),
  httpRoute(ref('outside'), /TL0103 .*: .*backendRefs\[0\]: Service depot\/outside is an ExternalName/),
  httpRoute(ref('web-v2', { weight: -1 }), /backendRefs\[0\]\.weight.*-1/),
  httpRoute({}, /timeout\.linkerd\.io\/request\]?: "soon"/, { 'timeout.linkerd.io/request': 'soon' }),
  httpRoute({}, /retry\.linkerd\.io\/http\]?: "errors"/, { 'retry.linkerd.io/http': 'errors' }),
  httpRoute({}, /retry\.linkerd\.io\/limit\]?: "many"/, { 'retry.linkerd.io/limit': 'many' }),
  linkerdRoute(matching({ path: { type: 'RegularExpression', value: 'a{2000}' } }), /path\.value.*2000/),
  linkerdRoute(ref('gone'), /TL0103 .*: .*backendRefs\[0\]: Service depot\/gone not found/),
  grpcRoute(matching({ method: { type: 'RegularExpression', service: '.*' } }), /matches\[0\]\.method\.type.*Exact/),
  grpcRoute(
    matching({ headers: [{ name: 'x', type: 'RegularExpression', value: ')' }] }),
    /matches\[0\]\.headers\[0\]\.value.*"\)"/,
  ),
  grpcRoute(
    filtered({ type: 'ResponseHeaderModifier', responseHeaderModifier: { remove: ['x'] } }),
    /filters\[0\]\.type: filters of type "ResponseHeaderModifier" are not supported/,
  ),
  grpcRoute({ backendRefs: [{ name: 'web', port: 8080, weight: 'half' }] }, /backendRefs\[0\]\.weight/),
  grpcRoute({}, /retry\.linkerd\.io\/grpc\]?: "not-found"/, { 'retry.linkerd.io/grpc': 'not-found' }),
  profileRoute({ name: '' }, /spec\.routes\[0\]\.name: is missing/),
  profileRoute({ timeout: 'soon' }, /spec\.routes\[0\]\.timeout: .*"soon"/),
  profileRoute({ condition: { pathRegex: '(' } }, /spec\.routes\[0\]\.condition\.pathRegex: "\("/),
  profileRoute({ condition: {} }, /spec\.routes\[0\]\.condition: .*(?:is empty|at least 1)/),
  profileRoute(
    { responseClasses: [{ condition: { status: { min: 700 } }, isFailure: true }] },
    /spec\.routes\[0\]\.responseClasses\[0\]\.condition\.status.*700/,
  ),
  profile(
    { retryBudget: { retryRatio: 0.2, minRetriesPerSecond: 1, ttl: '1h' } },
    /spec\.retryBudget\.ttl: "1h" is not from 1s to 60s/,
  ),
  profile({ dstOverrides: [{ authority: 'web-v2', weight: 'lots' }] }, /spec\.dstOverrides\[0\]\.weight/),
  profile({}, /metadata\.name: "nobody" is not the name of a Service/, 'nobody'),
  split({ backends: [{ service: 'web-v2', weight: 1 }] }, /spec\.service.*(?:missing|required)/i),
  split({ service: 'web', backends: [] }, /spec\.backends.*empty/),
  split({ service: 'web', backends: [{ service: 'web-v2', weight: -1 }] }, /spec\.backends\[0\]\.weight/),
  split({ service: 'web', backends: [{ service: 'web-v2', weight: 0 }] }, /spec\.backends: all weights are 0/),
  split(
    { service: 'web', matches: [{ kind: 'HTTPRouteGroup', name: 'x' }], backends: [{ service: 'web-v2', weight: 1 }] },
    /spec\.matches: is not supported/,
    'v1alpha4',
  ),
  service({ 'timeout.linkerd.io/response': '1.5s' }, /"1\.5s" is not a duration/),
  service({ 'retry.linkerd.io/http': '600' }, /"600" is not a condition/),
  service({ 'retry.linkerd.io/timeout': '1' }, /"1" is not a duration/),
  service({ [ACCRUAL]: 'always' }, /"always"/),
  service({ [`${ACCRUAL}-consecutive-max-failures`]: '3' }, /has no effect without/),
  service({ 'config.linkerd.io/opaque-ports': 'all' }, /"all" is no number/),
  policy('Server', 'v1beta3', { port: 8080 }, /spec\.podSelector: /),
  policy('Server', 'v1beta3', { ...SELECTOR, port: 0 }, /spec\.port: /),
  policy('Server', 'v1beta3', { ...SELECTOR, port: 8080, proxyProtocol: 'HTTP/9' }, /spec\.proxyProtocol: "HTTP\/9"/),
  policy(
    'AuthorizationPolicy',
    'v1alpha1',
    { targetRef: { kind: 'Service', name: 'web' }, requiredAuthenticationRefs: [] },
    /spec\.targetRef\.kind: /,
  ),
  policy('MeshTLSAuthentication', 'v1alpha1', { identities: ['not an identity'] }, /spec\.identities\[0\]: /),
  policy('NetworkAuthentication', 'v1alpha1', { networks: [{ cidr: '10.0.0.0/40' }] }, /spec\.networks\[0\]\.cidr: /),
  policy(
    'HTTPLocalRateLimitPolicy',
    'v1alpha1',
    { targetRef: SERVER, total: { requestsPerSecond: 10 }, identity: { requestsPerSecond: 11 } },
    /spec\.identity\.requestsPerSecond: 11 is more than the total, 10/,
  ),
  policy('ServerAuthorization', 'v1beta1', { server: { name: 'web' }, client: {} }, /spec\.client: /),
];
