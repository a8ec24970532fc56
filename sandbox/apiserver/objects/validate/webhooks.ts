import { goStrings } from '../go-text.ts';
import { asArray, asString, field, isObject, objectsIn, type JsonObject } from '../json.ts';
import { dns1035Faults, dnsSubdomainFaults, portNumberFaults } from '../names.ts';
import { repeatedIndexes, type Faults } from './faults.ts';

export function validateWebhooks(faults: Faults, configuration: JsonObject): void {
  const hooks = objectsIn(field(configuration, 'webhooks'));
  for (const [index, hook] of hooks.entries()) checkWebhook(faults, `webhooks[${index}]`, hook);
  for (const index of repeatedIndexes(hooks.map((hook) => field(hook, 'name')))) {
    faults.duplicate(`webhooks[${index}].name`, field(hooks[index], 'name'));
  }
}

function checkWebhook(faults: Faults, path: string, hook: JsonObject): void {
  checkQualifiedName(faults, `${path}.name`, asString(field(hook, 'name')));
  for (const [index, rule] of objectsIn(field(hook, 'rules')).entries())
    checkRule(faults, `${path}.rules[${index}]`, rule);
  faults.oneOfOrAbsent(`${path}.failurePolicy`, field(hook, 'failurePolicy'), ['Fail', 'Ignore']);
  faults.oneOfOrAbsent(`${path}.matchPolicy`, field(hook, 'matchPolicy'), ['Equivalent', 'Exact']);
  faults.oneOfOrAbsent(`${path}.reinvocationPolicy`, field(hook, 'reinvocationPolicy'), ['IfNeeded', 'Never']);
  if (field(hook, 'sideEffects') === undefined)
    faults.required(`${path}.sideEffects`, 'must specify one of None, NoneOnDryRun');
  faults.oneOfOrAbsent(`${path}.sideEffects`, field(hook, 'sideEffects'), ['None', 'NoneOnDryRun']);
  const timeout = field(hook, 'timeoutSeconds');
  if (typeof timeout === 'number' && (timeout < 1 || timeout > 30)) {
    faults.invalid(`${path}.timeoutSeconds`, timeout, 'the timeout value must be between 1 and 30 seconds');
  }
  for (const name of ['namespaceSelector', 'objectSelector'])
    faults.labelSelector(`${path}.${name}`, field(hook, name));
  checkClient(faults, `${path}.clientConfig`, field(hook, 'clientConfig'));
  checkReviewVersions(
    faults,
    `${path}.admissionReviewVersions`,
    asArray(field(hook, 'admissionReviewVersions')).map(asString),
  );
}

function checkQualifiedName(faults: Faults, path: string, name: string): void {
  if (name === '') {
    faults.required(path);
    return;
  }
  const complaints = dnsSubdomainFaults(name);
  if (complaints.length > 0) faults.invalid(path, name, complaints.join(','));
  else if (name.split('.').length < 3)
    faults.invalid(path, name, 'should be a domain with at least three segments separated by dots');
}

function checkClient(faults: Faults, path: string, client: unknown): void {
  const url = field(client, 'url');
  const service = field(client, 'service');
  if ((typeof url === 'string') === isObject(service))
    faults.required(path, 'exactly one of url or service is required');
  else if (typeof url === 'string') checkUrl(faults, `${path}.url`, url);
  else if (isObject(service)) checkService(faults, `${path}.service`, service);
}

function checkUrl(faults: Faults, path: string, text: string): void {
  const form = '; desired format: https://host[/path]';
  if (!URL.canParse(text)) {
    faults.required(path, `url must be a valid URL: parse ${JSON.stringify(text)}: invalid URI${form}`);
    return;
  }
  const url = new URL(text);
  if (url.protocol !== 'https:')
    faults.invalid(path, url.protocol.slice(0, -1), `'https' is the only allowed URL scheme${form}`);
  if (url.host === '') faults.invalid(path, '', `host must be specified${form}`);
  if (url.username !== '') faults.invalid(path, url.username, 'user information is not permitted in the URL');
  if (url.hash !== '') faults.invalid(path, url.hash.slice(1), 'fragments are not permitted in the URL');
  if (url.search !== '') faults.invalid(path, url.search.slice(1), 'query parameters are not permitted in the URL');
}

function checkService(faults: Faults, path: string, service: JsonObject): void {
  if (asString(field(service, 'name')) === '') faults.required(`${path}.name`, 'service name is required');
  if (asString(field(service, 'namespace')) === '')
    faults.required(`${path}.namespace`, 'service namespace is required');
  const complaints = portNumberFaults(Number(field(service, 'port') ?? 443));
  if (complaints.length > 0)
    faults.invalid(`${path}.port`, field(service, 'port'), `port is not valid: ${complaints.join(', ')}`);
  const target = asString(field(service, 'path'));
  if (target !== '' && !target.startsWith('/')) faults.invalid(`${path}.path`, target, "must start with a '/'");
}

function checkReviewVersions(faults: Faults, path: string, versions: readonly string[]): void {
  if (versions.length === 0) {
    faults.required(path, 'must specify one of v1, v1beta1');
    return;
  }
  for (const [index, version] of versions.entries()) faults.named(`${path}[${index}]`, version, dns1035Faults);
  for (const index of repeatedIndexes(versions))
    faults.invalid(`${path}[${index}]`, versions[index], 'duplicate version');
  if (!versions.includes('v1') && !versions.includes('v1beta1')) {
    faults.invalidPrinted(path, goStrings(versions), 'must include at least one of v1, v1beta1');
  }
}

const operations = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'];

function checkRule(faults: Faults, path: string, rule: JsonObject): void {
  const names = [
    ['operations', 'operations'],
    ['apiGroups', 'API groups'],
    ['apiVersions', 'API versions'],
  ] as const;
  for (const [name, what] of names) {
    const values = asArray(field(rule, name)).map(asString);
    if (values.length === 0) faults.required(`${path}.${name}`);
    if (values.length > 1 && values.includes('*')) {
      faults.invalidPrinted(`${path}.${name}`, goStrings(values), `if '*' is present, must not specify other ${what}`);
    }
  }
  for (const [index, operation] of asArray(field(rule, 'operations')).entries()) {
    faults.oneOfOrAbsent(`${path}.operations[${index}]`, operation, operations);
  }
  checkResources(faults, `${path}.resources`, asArray(field(rule, 'resources')).map(asString));
  faults.oneOfOrAbsent(`${path}.scope`, field(rule, 'scope'), ['*', 'Cluster', 'Namespaced']);
}

function checkResources(faults: Faults, path: string, resources: readonly string[]): void {
  if (resources.length === 0) faults.required(path);
  for (const [index, resource] of resources.entries()) if (resource === '') faults.required(`${path}[${index}]`);
  if (resources.length > 1 && resources.includes('*/*')) {
    faults.invalidPrinted(path, goStrings(resources), "if '*/*' is present, must not specify other resources");
  }
  if (resources.includes('*') && resources.some((resource) => resource !== '*' && !resource.includes('/'))) {
    faults.invalidPrinted(
      path,
      goStrings(resources),
      "if '*' is present, must not specify other resources without subresources",
    );
  }
}
