// What a proxy that knows nothing of this repository speaks: the messages of linkerd2-proxy-api 0.20.0, written out by hand
// from its published description. Neither `api/proto` nor `api/gen` is used: tests compare what we send with this.

/** A field as it is on the wire. */
export type Field = {
  readonly name: string;
  readonly number: number;
  readonly type: string; // a scalar, `map` (text to text), or the name of a message
  readonly isRepeated: boolean;
  readonly oneof?: string;
};

/** `name=number:type`; `*`: repeated; `kind{...}`: at most one of these. */
const DESCRIPTION = `
google.Duration: seconds=1:int64 nanos=2:int32
google.Timestamp: seconds=1:int64 nanos=2:int32
empty:

net.IPAddress: ip{ipv4=1:fixed32 ipv6=2:net.IPv6}
net.IPv6: first=1:fixed64 last=2:fixed64
net.IPNetwork: ip=1:net.IPAddress prefix_len=2:uint32
net.TcpAddress: ip=1:net.IPAddress port=2:uint32
meta.Metadata: kind{default=1:string resource=2:meta.Resource}
meta.Resource: group=1:string kind=2:string name=3:string namespace=4:string section=5:string port=6:uint32

http_types.HttpMethod: type{registered=1:uint32 unregistered=2:string}
http_types.Scheme: type{registered=1:uint32 unregistered=2:string}
http_types.Headers: headers=1:http_types.Header*
http_types.Header: name=1:string value=2:bytes
http_route.HostMatch: match{exact=1:string suffix=2:http_route.Suffix}
http_route.Suffix: reverse_labels=1:string*
http_route.HttpRouteMatch: path=1:http_route.PathMatch headers=2:http_route.HeaderMatch* query_params=3:http_route.QueryParamMatch* method=4:http_types.HttpMethod
http_route.PathMatch: kind{exact=1:string prefix=2:string regex=3:string}
http_route.HeaderMatch: name=1:string value{exact=2:bytes regex=3:string}
http_route.QueryParamMatch: name=1:string value{exact=2:string regex=3:string}
http_route.HeaderModifier: add=1:http_types.Headers set=2:http_types.Headers remove=3:string*
http_route.RequestRedirect: scheme=1:http_types.Scheme host=2:string path=3:http_route.PathModifier port=4:uint32 status=5:uint32
http_route.PathModifier: replace{full=1:string prefix=2:string}
http_route.HttpFailureInjector: status=1:uint32 message=2:string ratio=3:http_route.Ratio
http_route.Ratio: numerator=1:uint32 denominator=2:uint32
http_route.Timeouts: response=1:google.Duration request=2:google.Duration idle=3:google.Duration
grpc_route.GrpcRouteMatch: rpc=1:grpc_route.GrpcRpcMatch headers=2:http_route.HeaderMatch*
grpc_route.GrpcRpcMatch: service=1:string method=2:string
grpc_route.GrpcFailureInjector: code=1:uint32 message=2:string ratio=3:http_route.Ratio
tls_route.SniMatch: match{exact=1:string suffix=2:http_route.Suffix}
opaque_route.Invalid: message=1:string

destination.GetDestination: scheme=1:string path=2:string context_token=3:string
destination.Update: update{add=1:destination.WeightedAddrSet remove=2:destination.AddrSet no_endpoints=3:destination.NoEndpoints}
destination.AddrSet: addrs=1:net.TcpAddress*
destination.WeightedAddrSet: addrs=1:destination.WeightedAddr* metric_labels=2:map
destination.WeightedAddr: addr=1:net.TcpAddress weight=3:uint32 metric_labels=4:map tls_identity=5:destination.TlsIdentity protocol_hint=6:destination.ProtocolHint authority_override=7:destination.AuthorityOverride http2=8:destination.Http2ClientParams resource_ref=9:meta.Metadata
destination.TlsIdentity: strategy{dns_like_identity=1:destination.DnsLikeIdentity uri_like_identity=3:destination.UriLikeIdentity} server_name=4:destination.DnsLikeIdentity
destination.DnsLikeIdentity: name=1:string
destination.UriLikeIdentity: uri=1:string
destination.AuthorityOverride: authority_override=1:string
destination.NoEndpoints: exists=1:bool
destination.ProtocolHint: protocol{h2=1:empty opaque=3:empty} opaque_transport=2:destination.OpaqueTransport
destination.OpaqueTransport: inbound_port=1:uint32
destination.Http2ClientParams: flow_control=1:destination.FlowControl keep_alive=2:destination.KeepAlive internals=3:destination.Internals
destination.FlowControl: initial_connection_window_size=1:uint32 initial_stream_window_size=2:uint32 adaptive_flow_control=3:bool
destination.KeepAlive: interval=1:google.Duration timeout=2:google.Duration while_idle=3:bool
destination.Internals: max_concurrent_reset_streams=1:uint32 max_frame_size=2:uint32 max_send_buf_size=3:uint32
destination.DestinationProfile: routes=1:destination.Route* retry_budget=2:destination.RetryBudget dst_overrides=3:destination.WeightedDst* opaque_protocol=4:bool fully_qualified_name=5:string endpoint=6:destination.WeightedAddr parent_ref=7:meta.Metadata profile_ref=8:meta.Metadata
destination.Route: condition=1:destination.RequestMatch response_classes=2:destination.ResponseClass* metrics_labels=3:map is_retryable=4:bool timeout=5:google.Duration
destination.RetryBudget: retry_ratio=1:float min_retries_per_second=2:uint32 ttl=3:google.Duration
destination.ResponseClass: condition=1:destination.ResponseMatch is_failure=2:bool
destination.RequestMatch: match{all=1:destination.RequestMatches any=2:destination.RequestMatches not=3:destination.RequestMatch path=4:destination.PathMatch method=5:http_types.HttpMethod}
destination.RequestMatches: matches=1:destination.RequestMatch*
destination.PathMatch: regex=1:string
destination.ResponseMatch: match{all=1:destination.ResponseMatches any=2:destination.ResponseMatches not=3:destination.ResponseMatch status=4:destination.HttpStatusRange}
destination.ResponseMatches: matches=1:destination.ResponseMatch*
destination.HttpStatusRange: min=1:uint32 max=2:uint32
destination.WeightedDst: authority=1:string weight=2:uint32 backend_ref=3:meta.Metadata

identity.CertifyRequest: identity=1:string token=2:bytes certificate_signing_request=3:bytes
identity.CertifyResponse: leaf_certificate=1:bytes intermediate_certificates=2:bytes* valid_until=3:google.Timestamp

inbound.PortSpec: workload=1:string port=2:uint32
inbound.Server: protocol=1:inbound.ProxyProtocol server_ips=2:net.IPAddress* authorizations=3:inbound.Authz* labels=4:map
inbound.ProxyProtocol: kind{detect=1:inbound.Detect opaque=2:empty tls=3:empty http1=4:inbound.Http http2=5:inbound.Http grpc=6:inbound.Grpc}
inbound.Detect: timeout=1:google.Duration http_routes=3:inbound.HttpRoute* http_local_rate_limit=4:inbound.HttpLocalRateLimit
inbound.Http: routes=2:inbound.HttpRoute* local_rate_limit=3:inbound.HttpLocalRateLimit
inbound.Grpc: routes=2:inbound.GrpcRoute*
inbound.Authz: networks=1:inbound.Network* authentication=2:inbound.Authn labels=3:map metadata=4:meta.Metadata
inbound.Network: net=1:net.IPNetwork except=2:net.IPNetwork*
inbound.Authn: permit{unauthenticated=1:empty meshTLS=2:inbound.PermitMeshTLS}
inbound.PermitMeshTLS: clients{unauthenticated=1:empty identities=2:inbound.PermitClientIdentities}
inbound.PermitClientIdentities: identities=1:inbound.Identity* suffixes=2:inbound.IdentitySuffix*
inbound.Identity: name=1:string
inbound.IdentitySuffix: parts=1:string*
inbound.HttpRoute: metadata=1:meta.Metadata hosts=2:http_route.HostMatch* authorizations=3:inbound.Authz* rules=4:inbound.HttpRule*
inbound.HttpRule: matches=1:http_route.HttpRouteMatch* filters=2:inbound.HttpFilter*
inbound.HttpFilter: kind{failure_injector=1:http_route.HttpFailureInjector request_header_modifier=2:http_route.HeaderModifier redirect=3:http_route.RequestRedirect}
inbound.GrpcRoute: metadata=1:meta.Metadata hosts=2:http_route.HostMatch* authorizations=3:inbound.Authz* rules=4:inbound.GrpcRule*
inbound.GrpcRule: matches=1:grpc_route.GrpcRouteMatch* filters=2:inbound.GrpcFilter*
inbound.GrpcFilter: kind{failure_injector=1:grpc_route.GrpcFailureInjector request_header_modifier=2:http_route.HeaderModifier}
inbound.HttpLocalRateLimit: metadata=1:meta.Metadata total=2:inbound.Limit identity=3:inbound.Limit overrides=4:inbound.Override*
inbound.Limit: requestsPerSecond=1:uint32
inbound.Override: limit=1:inbound.Limit clients=2:inbound.ClientIdentities
inbound.ClientIdentities: identities=1:inbound.Identity*

outbound.TrafficSpec: source_workload=1:string target{addr=2:net.TcpAddress authority=3:string}
outbound.OutboundPolicy: protocol=1:outbound.ProxyProtocol metadata=2:meta.Metadata
outbound.ProxyProtocol: kind{detect=1:outbound.Detect opaque=2:outbound.Opaque http1=3:outbound.Http http2=4:outbound.Http grpc=5:outbound.Grpc tls=6:outbound.Tls}
outbound.Detect: timeout=1:google.Duration opaque=2:outbound.Opaque http1=3:outbound.Http http2=4:outbound.Http
outbound.Opaque: routes=1:outbound.OpaqueRoute*
outbound.Tls: routes=1:outbound.TlsRoute*
outbound.Http: routes=1:outbound.HttpRoute* failure_accrual=2:outbound.FailureAccrual
outbound.Grpc: routes=1:outbound.GrpcRoute* failure_accrual=2:outbound.FailureAccrual
outbound.HttpRoute: metadata=1:meta.Metadata hosts=2:http_route.HostMatch* rules=3:outbound.HttpRule*
outbound.HttpRule: matches=1:http_route.HttpRouteMatch* filters=2:outbound.HttpFilter* backends=3:outbound.HttpDistribution requestTimeout=4:google.Duration timeouts=5:http_route.Timeouts retry=6:outbound.HttpRetry allow_l5d_request_headers=7:bool
outbound.HttpFilter: kind{failure_injector=1:http_route.HttpFailureInjector request_header_modifier=2:http_route.HeaderModifier redirect=3:http_route.RequestRedirect response_header_modifier=4:http_route.HeaderModifier}
outbound.HttpDistribution: kind{empty=1:empty first_available=2:outbound.HttpFirst random_available=3:outbound.HttpRandom}
outbound.HttpFirst: backends=1:outbound.HttpBackend*
outbound.HttpRandom: backends=1:outbound.WeightedHttpBackend*
outbound.WeightedHttpBackend: backend=1:outbound.HttpBackend weight=2:uint32
outbound.HttpBackend: backend=1:outbound.Backend filters=3:outbound.HttpFilter* requestTimeout=4:google.Duration
outbound.HttpRetry: max_retries=1:uint32 max_request_bytes=2:uint32 conditions=3:outbound.HttpConditions timeout=4:google.Duration backoff=5:outbound.ExponentialBackoff
outbound.HttpConditions: status_ranges=1:outbound.StatusRange*
outbound.StatusRange: start=1:uint32 end=2:uint32
outbound.GrpcRoute: metadata=1:meta.Metadata hosts=2:http_route.HostMatch* rules=3:outbound.GrpcRule*
outbound.GrpcRule: matches=1:grpc_route.GrpcRouteMatch* filters=2:outbound.GrpcFilter* backends=3:outbound.GrpcDistribution requestTimeout=4:google.Duration timeouts=5:http_route.Timeouts retry=6:outbound.GrpcRetry allow_l5d_request_headers=7:bool
outbound.GrpcFilter: kind{failure_injector=1:grpc_route.GrpcFailureInjector request_header_modifier=2:http_route.HeaderModifier}
outbound.GrpcDistribution: kind{empty=1:empty first_available=2:outbound.GrpcFirst random_available=3:outbound.GrpcRandom}
outbound.GrpcFirst: backends=1:outbound.GrpcBackend*
outbound.GrpcRandom: backends=1:outbound.WeightedGrpcBackend*
outbound.WeightedGrpcBackend: backend=1:outbound.GrpcBackend weight=2:uint32
outbound.GrpcBackend: backend=1:outbound.Backend filters=3:outbound.GrpcFilter* requestTimeout=4:google.Duration
outbound.GrpcRetry: max_retries=1:uint32 max_request_bytes=2:uint32 conditions=3:outbound.GrpcConditions timeout=4:google.Duration backoff=5:outbound.ExponentialBackoff
outbound.GrpcConditions: cancelled=1:bool deadine_exceeded=4:bool resource_exhausted=8:bool internal=13:bool unavailable=14:bool
outbound.OpaqueRoute: metadata=1:meta.Metadata rules=3:outbound.OpaqueRule*
outbound.OpaqueRule: backends=1:outbound.OpaqueDistribution filters=2:outbound.OpaqueFilter*
outbound.TlsRoute: metadata=1:meta.Metadata snis=2:tls_route.SniMatch* rules=3:outbound.OpaqueRule*
outbound.OpaqueFilter: kind{invalid=1:opaque_route.Invalid forbidden=2:empty}
outbound.OpaqueDistribution: kind{empty=1:empty first_available=2:outbound.OpaqueFirst random_available=3:outbound.OpaqueRandom}
outbound.OpaqueFirst: backends=1:outbound.OpaqueBackend*
outbound.OpaqueRandom: backends=1:outbound.WeightedOpaqueBackend*
outbound.WeightedOpaqueBackend: backend=1:outbound.OpaqueBackend weight=2:uint32
outbound.OpaqueBackend: backend=1:outbound.Backend filters=3:outbound.OpaqueFilter*
outbound.Backend: metadata=1:meta.Metadata kind{forward=2:destination.WeightedAddr balancer=3:outbound.BalanceP2c} queue=4:outbound.Queue
outbound.BalanceP2c: discovery=1:outbound.EndpointDiscovery load{peak_ewma=2:outbound.PeakEwma penalty_peak_ewma=3:outbound.PenaltyPeakEwma}
outbound.EndpointDiscovery: kind{dst=1:outbound.DestinationGet}
outbound.DestinationGet: path=1:string
outbound.PeakEwma: default_rtt=1:google.Duration decay=2:google.Duration
outbound.PenaltyPeakEwma: default_rtt=1:google.Duration decay=2:google.Duration penalty=3:google.Duration max_retry_after=4:google.Duration penalty_decay=5:google.Duration
outbound.Queue: capacity=1:uint32 failfast_timeout=2:google.Duration
outbound.FailureAccrual: kind{consecutive_failures=1:outbound.ConsecutiveFailures unified=2:outbound.Unified} ejection=3:outbound.EjectionConfig
outbound.ConsecutiveFailures: max_failures=1:uint32 backoff=2:outbound.ExponentialBackoff
outbound.Unified: success_rate_threshold=1:double decay=2:google.Duration min_requests=3:uint32 max_consecutive_failures=4:uint32 backoff=5:outbound.ExponentialBackoff
outbound.EjectionConfig: min_ready_endpoints=1:uint32
outbound.ExponentialBackoff: min_backoff=1:google.Duration max_backoff=2:google.Duration jitter_ratio=3:float respect_retry_after_hint=4:bool
`;

function parseFields(text: string): readonly Field[] {
  const fields: Field[] = [];
  const add = (words: string, oneof?: string): void => {
    for (const [, name = '', number, type = '', star] of words.matchAll(/(\w+)=(\d+):([\w.]+)(\*?)/g))
      fields.push({ name, number: Number(number), type, isRepeated: star === '*', ...(oneof && { oneof }) });
  };
  const plain = text.replaceAll(/(\w+)\{([^}]*)\}/g, (_all, oneof: string, words: string) => {
    add(words, oneof);
    return '';
  });
  add(plain);
  return fields;
}

/** Fields of each message. */
export const MESSAGES: ReadonlyMap<string, readonly Field[]> = new Map(
  DESCRIPTION.split('\n').flatMap((line) => {
    const [, name, fields = ''] = /^([\w.]+):(.*)$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, parseFields(fields)] as const];
  }),
);

/** Request and answer of each method. */
export const METHODS = {
  get: ['/io.linkerd.proxy.destination.Destination/Get', 'destination.GetDestination', 'destination.Update'],
  getProfile: [
    '/io.linkerd.proxy.destination.Destination/GetProfile',
    'destination.GetDestination',
    'destination.DestinationProfile',
  ],
  certify: ['/io.linkerd.proxy.identity.Identity/Certify', 'identity.CertifyRequest', 'identity.CertifyResponse'],
  getPort: ['/io.linkerd.proxy.inbound.InboundServerPolicies/GetPort', 'inbound.PortSpec', 'inbound.Server'],
  watchPort: ['/io.linkerd.proxy.inbound.InboundServerPolicies/WatchPort', 'inbound.PortSpec', 'inbound.Server'],
  getPolicy: ['/io.linkerd.proxy.outbound.OutboundPolicies/Get', 'outbound.TrafficSpec', 'outbound.OutboundPolicy'],
  watchPolicy: ['/io.linkerd.proxy.outbound.OutboundPolicies/Watch', 'outbound.TrafficSpec', 'outbound.OutboundPolicy'],
} as const;
