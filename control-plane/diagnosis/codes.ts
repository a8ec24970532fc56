/** What a finding means for whoever applies the configuration. */
export type Severity = 'error' | 'warning' | 'note';

/** A kind of finding. Codes are stable: a code is never given another meaning, and one that is gone is not used again. */
export type CodeEntry = {
  readonly name: string;
  readonly severity: Severity;
  readonly meaning: string;
  readonly remedy: string;
};

export const CODES = {
  TL0001: entry('object-refused', 'error', 'The webhook refuses the object: it can never work.', 'Correct the field.'),
  TL0002: entry(
    'kind-not-served',
    'error',
    'The kind or the version is none that is installed.',
    'Use a kind and version that `tulle install --crds` defines.',
  ),
  TL0003: entry('schema-violated', 'error', 'The API server refuses the object.', 'Correct the value.'),
  TL0004: entry(
    'field-ignored',
    'warning',
    'The field is not known: kubectl refuses the object, and other clients have the field dropped.',
    'Remove it or correct its name.',
  ),
  TL0005: entry(
    'object-twice',
    'warning',
    'The object is there twice: the later one replaces it.',
    'Remove one of them.',
  ),
  TL0101: entry('route-refused', 'error', 'The route is not used at all.', 'Correct the field.'),
  TL0102: entry(
    'parent-not-found',
    'error',
    'The route is attached to nothing.',
    'Correct the parentRef, or create the Service or EgressNetwork.',
  ),
  TL0103: entry(
    'backend-not-usable',
    'error',
    'What is sent to the backend fails.',
    'Correct the backendRef, or create the Service and its port.',
  ),
  TL0104: entry('route-displaced', 'warning', 'A route of another kind takes the parent.', 'Keep routes of one kind.'),
  TL0105: entry(
    'rule-shadowed',
    'warning',
    'Other rules decide about every request that this one matches.',
    'Remove the rule, or make one of the two more specific.',
  ),
  TL0106: entry(
    'route-on-bytes',
    'warning',
    'The port carries raw bytes, so routes of HTTP and TLS have no effect.',
    'Remove the port from opaque-ports, or set its appProtocol to http, kubernetes.io/h2c or https.',
  ),
  TL0107: entry('no-weight', 'warning', 'All weights are 0: every request fails.', 'Give a backend a weight.'),
  TL0108: entry(
    'grant-missing',
    'note',
    'The backend is in another namespace without a ReferenceGrant; other implementations refuse that.',
    'Create a ReferenceGrant in the namespace of the backend.',
  ),
  TL0109: entry(
    'parent-without-effect',
    'warning',
    'Routes of such a parent have no effect in this version.',
    'Use a Service or an EgressNetwork as parent; for routes of HTTP and gRPC also a Server.',
  ),
  TL0110: entry(
    'route-on-http',
    'warning',
    'The port is declared HTTP, so routes of connections have no effect.',
    'Use an HTTPRoute, or remove appProtocol.',
  ),
  TL0112: entry(
    'client-field-on-server',
    'warning',
    'A route that only Servers have says something that only clients do.',
    'Remove the field, or put it into a route of the Service.',
  ),
  TL0113: entry(
    'session-persistence',
    'warning',
    'Session persistence has no effect here: there is nothing to choose, or no request that could show its session.',
    'Remove the field, or put it into a rule of an HTTPRoute or GRPCRoute that leads to a Service.',
  ),
  TL0114: entry(
    'rule-dropped',
    'error',
    'The rule is not used; others of the route are.',
    'Correct the field: until then other rules decide about what it would match.',
  ),
  TL0115: entry(
    'session-name-shared',
    'warning',
    'Sessions of two rules stand in the same cookie or header, so that each ends the other.',
    'Give each rule a name of its own for its sessions, or none.',
  ),
  TL0116: entry(
    'plain-text-reset',
    'warning',
    'A TLSRoute goes by the server name that clients of TLS show; connections in plain text to the same port are reset.',
    'Name in parentRefs the port that is used with TLS alone, and attach HTTPRoutes or GRPCRoutes to the others.',
  ),
  TL0201: entry(
    'server-selects-nothing',
    'warning',
    'The Server is about no port of any pod.',
    'Correct podSelector or port.',
  ),
  TL0202: entry(
    'server-displaced',
    'warning',
    'An older Server, or one first by name, has the same port of the same pods.',
    'Keep one Server for each port.',
  ),
  TL0203: entry(
    'target-not-found',
    'error',
    'The target does not exist: nothing is let in.',
    'Correct targetRef, or create it.',
  ),
  TL0204: entry(
    'authentication-not-usable',
    'error',
    'A required authentication is missing or wrong: nothing is let in.',
    'Correct the reference, or create what it names.',
  ),
  TL0205: entry('names-no-server', 'warning', 'The authorization is about no Server.', 'Correct the name or selector.'),
  TL0206: entry(
    'route-policy',
    'error',
    'The policy targets a route that does not exist or has no Server as parent; it lets nobody in.',
    'Correct the name, create the route, or name the Server in its parentRefs.',
  ),
  TL0207: entry(
    'rate-limit-without-effect',
    'error',
    'The rate limit limits nothing.',
    'Correct what the message names.',
  ),
  TL0208: entry('authentication-unused', 'note', 'No AuthorizationPolicy requires it.', 'Remove it, or require it.'),
  TL0209: entry(
    'client-unknown',
    'warning',
    'The service account or its namespace does not exist, so nobody in this cluster can have the identity.',
    'Correct the name or namespace.',
  ),
  TL0210: entry(
    'probe-refused',
    'warning',
    'The kubelet has no identity and is refused: the pods do not become ready, or are restarted.',
    'Let the probe in, or probe another port.',
  ),
  TL0211: entry(
    'client-of-another-installation',
    'warning',
    'No proxy of this installation has the identity; only a linked cluster that trusts the same anchors could.',
    'Write what identities end with here, or use identityRefs.',
  ),
  TL0212: entry(
    'authorization-restricts-nothing',
    'warning',
    'Authorizations add up, and another one or the accessPolicy of the Server lets in all of these clients and others.',
    'Remove what lets in too many, or this object.',
  ),
  TL0301: entry('service-selects-nothing', 'warning', 'The Service has no pods.', 'Correct spec.selector.'),
  TL0302: entry('service-annotation', 'warning', 'An annotation of the Service has no effect.', 'Correct its value.'),
  TL0303: entry(
    'setting-misplaced',
    'warning',
    'The setting has no effect on this kind.',
    'Move it to where it is read.',
  ),
  TL0304: entry('annotation-unknown', 'warning', 'No annotation has this name: it has no effect.', 'Correct its name.'),
  TL0305: entry(
    'workload-without-traffic',
    'warning',
    'Services send nothing to the ExternalWorkload.',
    'Let whoever runs it write the condition Ready=True into its status, as soon as it serves.',
  ),
  TL0306: entry(
    'target-port-not-found',
    'error',
    'No pod of the Service has a port of this name: every request to the port fails.',
    'Correct targetPort, or name the port of the container.',
  ),
  TL0307: entry(
    'retry-without-condition',
    'warning',
    'No response is retried, only what gets none, such as a connection that fails.',
    'Say what is retried: retry.linkerd.io/http: 5xx, for example, or retry.linkerd.io/grpc: unavailable.',
  ),
  TL0308: entry(
    'limit-replaced',
    'warning',
    'Timeouts are not merged, and neither are retries: those of the route replace all that its rule or its parent says.',
    'Say all timeouts, and all about retries, in one place.',
  ),
  TL0401: entry(
    'profile-without-service',
    'warning',
    'The ServiceProfile is about no Service.',
    'Name it `SERVICE.NAMESPACE.svc.DOMAIN`.',
  ),
  TL0402: entry(
    'profile-overrides-routes',
    'warning',
    'The ServiceProfile or TrafficSplit decides; routes of the Service, and its timeouts and retries, are not used.',
    'Keep one of them.',
  ),
  TL0403: entry('split-not-usable', 'error', 'The TrafficSplit is not used at all.', 'Correct the field.'),
  TL0404: entry(
    'split-service-not-found',
    'error',
    'The TrafficSplit or ServiceProfile names a Service that does not exist or cannot have endpoints.',
    'Correct the name, or create it.',
  ),
  TL0405: entry('split-displaced', 'warning', 'Another object splits the traffic of the Service.', 'Keep one of them.'),
  TL0501: entry(
    'policy-without-injection',
    'warning',
    'Nothing in the namespace gets a proxy, so its policies are not enforced.',
    'Annotate the namespace with linkerd.io/inject: enabled.',
  ),
  TL0502: entry(
    'unmeshed-under-policy',
    'warning',
    'The pods have no proxy, so the policy is not enforced for them.',
    'Mesh them, or select others.',
  ),
  TL0503: entry(
    'inject-value',
    'error',
    'The value of linkerd.io/inject is not known: no proxy.',
    'Use enabled, ingress or disabled.',
  ),
  TL0504: entry(
    'annotation-value',
    'warning',
    'An annotation of the proxy has no effect.',
    'Correct its name or value.',
  ),
  TL0505: entry(
    'skipped-port-under-policy',
    'warning',
    'Connections to the port lead past the proxy, so the policy is not enforced: everybody gets in.',
    'Take the port out of config.linkerd.io/skip-inbound-ports of the pods and their namespace, and restart them.',
  ),
  TL0601: entry(
    'egress-not-used',
    'error',
    'The EgressNetwork names addresses of the cluster, and is not used at all.',
    'Leave them out; where they are none of the cluster, correct the value clusterNetworks of the installation.',
  ),
  TL0602: entry(
    'egress-displaced',
    'warning',
    'An older EgressNetwork decides about the same addresses.',
    'Keep one of them.',
  ),
  TL0603: entry(
    'egress-escapes-global',
    'warning',
    'The namespace has an EgressNetwork of its own, so the global ones do not count for it: other addresses are allowed.',
    'Let it hold those addresses too, or remove it.',
  ),
  TL0604: entry(
    'egress-annotation',
    'warning',
    'An annotation of the EgressNetwork has no effect.',
    'Correct its value.',
  ),
} as const satisfies Readonly<Record<string, CodeEntry>>;

export type Code = keyof typeof CODES;

function entry(name: string, severity: Severity, meaning: string, remedy: string): CodeEntry {
  return { name, severity, meaning, remedy };
}

/** The table of all codes, for the documentation. */
export function codeTable(): string {
  const rows = Object.entries(CODES).map(
    ([code, { name, severity, meaning, remedy }]) => `| ${code} | ${name} | ${severity} | ${meaning} | ${remedy} |`,
  );
  return ['| code | name | severity | what it means | what to do |', '| --- | --- | --- | --- | --- |', ...rows].join(
    '\n',
  );
}
