import { badRequest } from '../status-error.ts';
import { parsePath, valuesAt } from './jsonpath.ts';
import { field, fieldAt, isArray, type JsonObject } from './json.ts';

/** One condition on a field; all of a selector must hold. */
export type FieldRequirement = { readonly field: string; readonly operator: '=' | '!='; readonly value: string };
export type FieldSelector = readonly FieldRequirement[];

const metadataFields = ['metadata.name', 'metadata.namespace'];

/** What each kind can be selected by besides metadata.name (and metadata.namespace). Source: `AddFieldLabelConversionFunc` calls. */
const kindFields: Readonly<Record<string, readonly string[]>> = {
  pods: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.podIPs',
    'status.nominatedNodeName',
    'spec.host',
  ],
  nodes: ['spec.unschedulable'],
  events: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
  'events.events.k8s.io': [
    'regarding.kind',
    'regarding.namespace',
    'regarding.name',
    'regarding.uid',
    'regarding.apiVersion',
    'regarding.resourceVersion',
    'regarding.fieldPath',
    'reason',
    'reportingController',
    'type',
  ],
  namespaces: ['status.phase'],
  secrets: ['type'],
  services: ['spec.clusterIP', 'spec.type'],
  replicationcontrollers: ['status.replicas'],
  'replicasets.apps': ['status.replicas'],
  'jobs.batch': ['status.successful'],
  'certificatesigningrequests.certificates.k8s.io': ['spec.signerName'],
};

/** Kinds whose refusal names only the label, not the fields that would be known. */
function unknownField(resource: string, name: string): Error {
  if (resource === 'jobs.batch') return badRequest(`field label ${JSON.stringify(name)} not supported for Job`);
  if (Object.hasOwn(kindFields, resource)) return badRequest(`field label not supported: ${name}`);
  return badRequest(
    `${JSON.stringify(name)} is not a known field selector: only "metadata.name", "metadata.namespace"`,
  );
}

/**
 * The `fieldSelector` parameter of list and watch.
 *
 * @param resource  plural[.group], decides which fields can be asked for
 * @param selectable  JSON paths of a CRD version's `selectableFields` (`.spec.color`), empty for built-in kinds
 * @throws StatusError 400 on a field that the kind cannot be selected by, or text that is no selector
 */
export function parseFieldSelector(text: string, resource: string, selectable: readonly string[] = []): FieldSelector {
  const known = new Set([
    ...metadataFields,
    ...(Object.hasOwn(kindFields, resource) ? (kindFields[resource] ?? []) : []),
    ...selectable.map((path) => path.replace(/^\./, '')),
  ]);
  return splitTerms(text).map((term) => {
    const requirement = parseTerm(text, term);
    if (!known.has(requirement.field)) throw unknownField(resource, requirement.field);
    return requirement;
  });
}

/** Splits at commas that no backslash stands before; the backslashes stay. */
function splitTerms(text: string): string[] {
  return (text.match(/(?:\\[\s\S]?|[^,\\])+/g) ?? []).filter((term) => term !== '');
}

function parseTerm(text: string, term: string): FieldRequirement {
  const parts = /^([^=!]*(?:!(?!=)[^=!]*)*)(!=|==|=)([\s\S]*)$/.exec(term);
  if (parts === null) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
  const [, name = '', operator, value = ''] = parts;
  return { field: name, operator: operator === '!=' ? '!=' : '=', value: unescapeValue(value) };
}

function unescapeValue(value: string): string {
  return value.replace(/\\([\s\S]?)|[,=]/g, (found, escaped: string | undefined) => {
    if (escaped === undefined)
      throw badRequest(`invalid field selector: unescaped character in value: ${found.charCodeAt(0)}`);
    if (escaped === '\\' || escaped === ',' || escaped === '=') return escaped;
    throw badRequest(`invalid field selector: invalid escape sequence: ${found}`);
  });
}

export function matchesFields(selector: FieldSelector, object: JsonObject): boolean {
  return selector.every(
    ({ field: name, operator, value }) => (fieldText(object, name) === value) === (operator === '='),
  );
}

/** What a field reads as for selection: absent is the empty text, or the kind's zero value. */
function fieldText(object: JsonObject, name: string): string {
  switch (name) {
    case 'spec.host':
      return text(fieldAt(object, 'spec', 'nodeName'));
    case 'spec.unschedulable':
    case 'spec.hostNetwork':
      return String(fieldAt(object, ...name.split('.')) === true);
    case 'status.replicas':
      return text(fieldAt(object, 'status', 'replicas') ?? 0);
    case 'status.successful':
      return text(fieldAt(object, 'status', 'succeeded') ?? 0);
    case 'status.podIPs':
      return podIps(object);
    case 'source': // the component, or for events of the newer API the reporting controller
      return text(fieldAt(object, 'source', 'component') ?? '') || text(field(object, 'reportingComponent'));
    default:
      return text(valuesAt(parsePath(`.${name}`), object)[0]);
  }
}

function podIps(object: JsonObject): string {
  const list = fieldAt(object, 'status', 'podIPs');
  return isArray(list) ? list.map((item) => text(field(item, 'ip'))).join(',') : '';
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}
