import { LOG_LEVELS } from '#runtime/log.ts';
import {
  isDnsName,
  isDuration,
  isEndpointOrNothing,
  isImage,
  isLabel,
  isLabelOrNothing,
  isLogFilter,
  isNetwork,
  isPortList,
  isQuantity,
  isServiceAccountOrNothing,
  isServiceName,
  isTag,
  type Field,
} from './field.ts';
import { DEFAULT_INBOUND_POLICIES, type Resources, type Values } from './values.ts';

/** Values that belong together: keys below a key. */
export type Group = { readonly [key: string]: Field | { readonly help: string; readonly group: Group } };

/** Every value needs an entry: a missing one does not compile. */
type SchemaOf<T> = {
  readonly [K in keyof T]-?: NonNullable<T[K]> extends readonly unknown[] | string | number | boolean
    ? Field
    : { readonly help: string; readonly group: SchemaOf<NonNullable<T[K]>> };
};

const port = (help: string): Field => ({ type: 'number', help, min: 1, max: 65_535 });
const uid = (help: string): Field => ({ type: 'number', help, min: 1, max: 2 ** 31 - 1 });
const ports = (help: string): Field => ({ type: 'text', help, remedy: isPortList });
const resources = (of: string): { help: string; group: SchemaOf<Resources> } => ({
  help: `Requests and limits of ${of}.`,
  group: {
    cpuRequest: { type: 'text', help: `CPU that ${of} is promised.`, remedy: isQuantity },
    cpuLimit: { type: 'text', help: `CPU that ${of} may use.`, remedy: isQuantity },
    memoryRequest: { type: 'text', help: `Memory that ${of} is promised.`, remedy: isQuantity },
    memoryLimit: { type: 'text', help: `Memory above which ${of} is killed.`, remedy: isQuantity },
  },
});

const SCHEMA_OF_VALUES: SchemaOf<Values> = {
  version: { type: 'text', help: 'Tag of the image.', remedy: isTag },
  namespace: { type: 'text', help: 'Namespace of the control plane.', remedy: isLabel },
  image: { type: 'text', help: 'Image of every process, without tag.', remedy: isImage },
  imagePullPolicy: {
    type: 'choice',
    help: 'When the image is fetched.',
    choices: ['Always', 'IfNotPresent', 'Never'],
  },
  clusterDomain: { type: 'text', help: 'DNS domain of the cluster.', remedy: isDnsName },
  identityTrustDomain: { type: 'text', help: 'Trust domain of the identities.', remedy: isDnsName },
  clusterNetworks: {
    type: 'list',
    help: 'Networks of pods, Services and nodes; what is outside is not the cluster.',
    remedy: isNetwork,
  },
  controllerReplicas: { type: 'number', help: 'Replicas of each control-plane process.', min: 1, max: 9 },
  controllerLogLevel: { type: 'choice', help: 'Log level of the control plane.', choices: LOG_LEVELS },
  controllerUid: uid('User id of the control plane.'),
  controllerResources: resources('a control-plane pod'),
  highAvailability: {
    type: 'switch',
    help: 'PodDisruptionBudgets, and replicas on different nodes and zones.',
  },
  singleProcess: {
    type: 'switch',
    help: 'Identity, destination and injector in one process: less memory, but its account has the rights of all three.',
  },
  identity: {
    help: 'Certificates of the workloads.',
    group: {
      issuanceLifetime: {
        type: 'text',
        help: 'How long the certificate of a proxy is valid.',
        remedy: isDuration(20_000, 'proxies renew at 70 % of it'),
      },
      clockSkewAllowance: {
        type: 'text',
        help: 'How far clocks may disagree.',
        remedy: isDuration(0, ''),
      },
      issuer: {
        type: 'choice',
        help: 'Who makes the issuer: own is the control plane, external somebody else (Secret linkerd-identity-issuer).',
        choices: ['own', 'external'],
      },
    },
  },
  webhookFailurePolicy: {
    type: 'choice',
    help: 'What happens to new pods while no injector answers: Ignore starts them without a proxy, Fail refuses them.',
    choices: ['Ignore', 'Fail'],
  },
  allowL5dRequestHeaders: {
    type: 'switch',
    help: 'Requests on routes may ask for timeouts and retries by header fields (l5d-timeout, l5d-retry-http).',
  },
  egress: {
    help: 'Connections that leave the cluster.',
    group: {
      globalEgressNetworkNamespace: {
        type: 'text',
        help: 'Namespace whose EgressNetworks are for clients in whose own there is none.',
        remedy: isLabel,
      },
    },
  },
  cni: {
    help: 'How connections of pods are redirected to their proxies.',
    group: {
      enabled: {
        type: 'switch',
        help: 'By an agent on each node instead of an init container with NET_ADMIN, as Pod Security restricted demands.',
      },
    },
  },
  repair: {
    help: 'Pods that were created without a proxy while no injector answered.',
    group: {
      enabled: { type: 'switch', help: 'Evict them, one at a time and within their PodDisruptionBudgets.' },
    },
  },
  proxy: {
    help: 'The proxies; annotations of namespaces and pods win over these.',
    group: {
      uid: uid('User id of the proxy, whose own connections are not redirected.'),
      logLevel: { type: 'text', help: 'Log level of the proxies.', remedy: isLogFilter },
      logFormat: { type: 'choice', help: 'Form of the log.', choices: ['plain', 'json'] },
      inboundPort: port('Port for redirected connections to the pod.'),
      outboundPort: port('Port for redirected connections from the pod.'),
      controlPort: port('Port of tap.'),
      adminPort: port('Port of metrics and probes.'),
      tapServiceAccount: {
        type: 'text',
        help: 'Who may tap the proxies, as NAME.NAMESPACE; nobody when empty.',
        remedy: isServiceAccountOrNothing,
      },
      skipInboundPorts: ports('Ports of the pod that bypass the proxy.'),
      skipOutboundPorts: ports('Ports elsewhere that bypass the proxy.'),
      opaquePorts: ports('Ports that carry no HTTP.'),
      defaultInboundPolicy: {
        type: 'choice',
        help: 'What a port without policy accepts.',
        choices: DEFAULT_INBOUND_POLICIES,
      },
      tracing: {
        help: 'Spans of traces that applications have begun and sampled.',
        group: {
          enabled: { type: 'switch', help: 'Send spans to the collector.' },
          traceServiceName: { type: 'text', help: 'Name of the service that the spans are of.', remedy: isServiceName },
          collector: {
            help: 'Who takes the spans, by OTLP over gRPC.',
            group: {
              endpoint: { type: 'text', help: 'HOST:PORT of its Service.', remedy: isEndpointOrNothing },
              meshIdentity: {
                help: 'Its identity; the collector must be meshed.',
                group: {
                  serviceAccountName: { type: 'text', help: 'Its service account.', remedy: isLabelOrNothing },
                  namespace: { type: 'text', help: 'Namespace of its service account.', remedy: isLabelOrNothing },
                },
              },
            },
          },
        },
      },
      resources: resources('a proxy'),
    },
  },
};

/** What every value is, may be and means: the one description that files, flags and documents are checked against. */
export const SCHEMA: Group = SCHEMA_OF_VALUES;

/** The fields with their dotted paths. */
export function fieldsOf(group: Group = SCHEMA, prefix = ''): readonly (readonly [path: string, field: Field])[] {
  return Object.entries(group).flatMap(([key, entry]) =>
    'group' in entry ? fieldsOf(entry.group, `${prefix}${key}.`) : [[`${prefix}${key}`, entry] as const],
  );
}

/** What stands at a dotted path, or undefined. */
export function entryAt(path: string): Group[string] | undefined {
  let group: Group | undefined = SCHEMA;
  let entry: Group[string] | undefined;
  for (const key of path.split('.')) {
    entry = group !== undefined && Object.hasOwn(group, key) ? group[key] : undefined;
    group = entry !== undefined && 'group' in entry ? entry.group : undefined;
  }
  return entry;
}
