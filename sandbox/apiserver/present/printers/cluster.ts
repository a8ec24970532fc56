import type { KubeObject } from '../../object.ts';
import { asArray, asObject, asString, field, fieldAt, objectsIn } from '../../objects/json.ts';
import { age } from '../human-duration.ts';
import {
  ageColumn,
  boolean,
  countKeys,
  createdAtColumn,
  integer,
  nameColumn,
  numberOf,
  printer,
  text,
  textOr,
  wide,
} from './printer.ts';
import { formatLabelSelector } from './selector-text.ts';

/** Roles and other kinds that have no columns of their own. */
export const plainPrinter = printer(nameColumn, createdAtColumn);

export const namespacePrinter = printer(
  nameColumn,
  text('Status', 'The status of the namespace', (object) => asString(fieldAt(object, 'status', 'phase'))),
  ageColumn,
);

function nodeStatus(node: KubeObject): string {
  const ready = objectsIn(fieldAt(node, 'status', 'conditions')).find((entry) => field(entry, 'type') === 'Ready');
  const state = ready === undefined ? 'Unknown' : field(ready, 'status') === 'True' ? 'Ready' : 'NotReady';
  return fieldAt(node, 'spec', 'unschedulable') === true ? `${state},SchedulingDisabled` : state;
}

const ROLE_PREFIX = 'node-role.kubernetes.io/';

function nodeRoles(node: KubeObject): string {
  const roles = Object.entries(node.metadata.labels ?? {}).map(([key, value]) =>
    key.startsWith(ROLE_PREFIX) ? key.slice(ROLE_PREFIX.length) : key === 'kubernetes.io/role' ? value : '',
  );
  return [...new Set(roles.filter((role) => role !== ''))].sort().join(',') || '<none>';
}

function nodeAddress(node: KubeObject, type: string): string {
  const addresses = objectsIn(fieldAt(node, 'status', 'addresses'));
  return textOr(
    field(
      addresses.find((entry) => field(entry, 'type') === type),
      'address',
    ),
    '<none>',
  );
}

function nodeInfo(name: string): (node: KubeObject) => string {
  return (node) => textOr(fieldAt(node, 'status', 'nodeInfo', name), '<unknown>');
}

export const nodePrinter = printer(
  nameColumn,
  text('Status', 'The status of the node', nodeStatus),
  text('Roles', 'The roles of the node', nodeRoles),
  ageColumn,
  text('Version', 'Kubelet version reported by the node.', (node) =>
    asString(fieldAt(node, 'status', 'nodeInfo', 'kubeletVersion')),
  ),
  wide(text('Internal-IP', 'Address inside the cluster.', (node) => nodeAddress(node, 'InternalIP'))),
  wide(text('External-IP', 'Address outside the cluster.', (node) => nodeAddress(node, 'ExternalIP'))),
  wide(text('OS-Image', 'Operating system of the node.', nodeInfo('osImage'))),
  wide(text('Kernel-Version', 'Kernel version of the node.', nodeInfo('kernelVersion'))),
  wide(text('Container-Runtime', 'Container runtime of the node.', nodeInfo('containerRuntimeVersion'))),
);

export const configMapPrinter = printer(
  nameColumn,
  text(
    'Data',
    'Number of entries.',
    (object) => countKeys(asObject(object['data'])) + countKeys(asObject(object['binaryData'])),
  ),
  ageColumn,
);

export const secretPrinter = printer(
  nameColumn,
  text('Type', 'Used to facilitate programmatic handling of secret data.', (object) => asString(object['type'])),
  text('Data', 'Number of entries.', (object) => countKeys(asObject(object['data']))),
  ageColumn,
);

export const serviceAccountPrinter = printer(
  nameColumn,
  text('Secrets', 'Number of secrets of the account.', (object) => asArray(object['secrets']).length),
  ageColumn,
);

function subjects(binding: KubeObject, kind: string): string {
  const found = objectsIn(binding['subjects']).filter((subject) => field(subject, 'kind') === kind);
  return found
    .map((subject) => {
      const name = asString(field(subject, 'name'));
      return kind === 'ServiceAccount' ? `${asString(field(subject, 'namespace'))}/${name}` : name;
    })
    .join(', ');
}

export const roleBindingPrinter = printer(
  nameColumn,
  text(
    'Role',
    'The role that is granted.',
    (object) => `${asString(fieldAt(object, 'roleRef', 'kind'))}/${asString(fieldAt(object, 'roleRef', 'name'))}`,
  ),
  ageColumn,
  wide(text('Users', 'Users in the binding', (object) => subjects(object, 'User'))),
  wide(text('Groups', 'Groups in the binding', (object) => subjects(object, 'Group'))),
  wide(text('ServiceAccounts', 'ServiceAccounts in the binding', (object) => subjects(object, 'ServiceAccount'))),
);

export const webhookPrinter = printer(
  nameColumn,
  integer(
    'Webhooks',
    'Webhooks indicates the number of webhooks registered in this configuration',
    (object) => asArray(object['webhooks']).length,
  ),
  ageColumn,
);

export const admissionPolicyPrinter = printer(
  nameColumn,
  integer(
    'Validations',
    'Validations indicates the number of validation rules defined in this configuration',
    (object) => asArray(fieldAt(object, 'spec', 'validations')).length,
  ),
  text('ParamKind', 'ParamKind specifies the kind of resources used to parameterize this policy', (object) => {
    const kind = fieldAt(object, 'spec', 'paramKind');
    return kind === undefined ? '<unset>' : `${asString(field(kind, 'apiVersion'))}/${asString(field(kind, 'kind'))}`;
  }),
  ageColumn,
);

export const admissionPolicyBindingPrinter = printer(
  nameColumn,
  text('PolicyName', 'PolicyName indicates the policy definition which the policy binding binded to', (object) =>
    asString(fieldAt(object, 'spec', 'policyName')),
  ),
  text('ParamRef', 'ParamRef indicates the param resource which sets the configuration param', (object) => {
    const reference = fieldAt(object, 'spec', 'paramRef');
    const name = asString(field(reference, 'name'));
    if (name !== '') return `${textOr(field(reference, 'namespace'), '*')}/${name}`;
    const selector = field(reference, 'selector');
    return selector === undefined ? '<unset>' : formatLabelSelector(selector);
  }),
  ageColumn,
);

export const leasePrinter = printer(
  nameColumn,
  text('Holder', 'Holder of the lease.', (object) => asString(fieldAt(object, 'spec', 'holderIdentity'))),
  ageColumn,
);

export const priorityClassPrinter = printer(
  nameColumn,
  integer('Value', 'Priority of pods of this class.', (object) => numberOf(object['value'])),
  boolean('Global-Default', 'Whether pods without a class get this one.', (object) => object['globalDefault'] === true),
  ageColumn,
  text('PreemptionPolicy', 'Whether pods of this class evict others.', (object) =>
    asString(object['preemptionPolicy']),
  ),
);

/** Fields of an event in both views: core v1 and events.k8s.io/v1. */
function eventField(event: KubeObject, core: string, events: string): unknown {
  return event[core] ?? event[events];
}

function firstSeen(event: KubeObject, nowMs: number): string {
  return age(eventField(event, 'firstTimestamp', 'deprecatedFirstTimestamp') ?? event['eventTime'], nowMs);
}

function lastSeen(event: KubeObject, nowMs: number): string {
  const observed = fieldAt(event, 'series', 'lastObservedTime');
  if (event['series'] !== undefined && event['series'] !== null) return age(observed, nowMs);
  const last = eventField(event, 'lastTimestamp', 'deprecatedLastTimestamp');
  return typeof last === 'string' ? age(last, nowMs) : firstSeen(event, nowMs);
}

function eventCount(event: KubeObject): number {
  const series = fieldAt(event, 'series', 'count');
  return numberOf(series) || numberOf(eventField(event, 'count', 'deprecatedCount')) || 1;
}

function eventObject(event: KubeObject): string {
  const involved = eventField(event, 'involvedObject', 'regarding');
  const kind = asString(field(involved, 'kind')).toLowerCase();
  const name = asString(field(involved, 'name'));
  return name === '' ? kind : `${kind}/${name}`;
}

function eventSource(event: KubeObject): string {
  const source = eventField(event, 'source', 'deprecatedSource');
  const reporter = eventField(event, 'reportingComponent', 'reportingController');
  const component = textOr(field(source, 'component'), asString(reporter));
  const instance = textOr(field(source, 'host'), asString(event['reportingInstance']));
  return instance === '' ? component : `${component}, ${instance}`;
}

export const eventPrinter = printer(
  text('Last Seen', 'The time at which the most recent occurrence of this event was recorded.', lastSeen),
  text('Type', 'Type of this event (Normal, Warning).', (event) => asString(event['type'])),
  text('Reason', 'Why the event was recorded, for machines.', (event) => asString(event['reason'])),
  text('Object', 'The object that this event is about.', eventObject),
  wide(
    text('Subobject', 'The part of the object that this event is about.', (event) =>
      asString(field(eventField(event, 'involvedObject', 'regarding'), 'fieldPath')),
    ),
  ),
  wide(text('Source', 'The component reporting this event.', eventSource)),
  text('Message', 'A human-readable description of the status of this operation.', (event) =>
    asString(eventField(event, 'message', 'note')).trim(),
  ),
  wide(text('First Seen', 'The time at which the event was first recorded.', firstSeen)),
  wide(text('Count', 'The number of times this event has occurred.', eventCount)),
  wide(nameColumn),
);
