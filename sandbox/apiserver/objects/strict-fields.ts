import { badRequest, type StatusError } from '../status-error.ts';
import { knownModel, modelOfKind, type FieldType } from './builtin-schema.ts';
import { duplicateFields, maxProblems } from './duplicate-fields.ts';
import { quote } from './go-text.ts';
import { isArray, isObject, isShallow, maxDepth, setField, type JsonObject, type MutableObject } from './json.ts';
import { parseQuantity, printQuantity } from './quantity.ts';

/** Group, version and kind of a type, as in the registry. */
export type TypeName = { readonly group: string; readonly version: string; readonly kind: string };

/** An object as it may be stored, and what strict decoding complains about (`unknown field "spec.zzz"`). */
export type Decoded = { readonly object: JsonObject; readonly problems: readonly string[] };

/**
 * Reads an object of a built-in kind: unknown fields, nulls and empty optional lists and maps fall away, times and quantities
 * take their canonical form, as they would on a way through the API's own types.
 *
 * @param value  the parsed body
 * @param text   the body as JSON text, when it was JSON: needed to find duplicate fields
 * @throws StatusError 400 when a value has the wrong type, in the words of Go's decoder
 */
export function decodeBuiltin(type: TypeName, value: unknown, text?: string): Decoded {
  const model = modelOfKind(type.group, type.version, type.kind);
  if (model === undefined)
    throw badRequest(`no kind ${quote(type.kind)} is registered for version ${quote(versionOf(type))}`);
  const decoder = new Decoder();
  try {
    checkDepth(value);
    const object = decoder.object(model, value);
    const duplicates = text === undefined ? [] : duplicateFields(text).map((path) => `duplicate field ${quote(path)}`);
    const unknown = decoder.unknown.map((path) => `unknown field ${quote(path)}`);
    return { object, problems: [...duplicates, ...unknown].slice(0, maxProblems) };
  } catch (error) {
    if (error instanceof DecodeError) throw cannotHandle(type, error.message);
    throw error;
  }
}

/**
 * Reads one struct of the API on its own, such as the metadata of a custom resource.
 *
 * @returns what is known of it, and the paths of unknown fields
 * @throws StatusError 400 when a value has the wrong type
 */
export function decodeFields(model: string, value: JsonObject): { object: JsonObject; unknown: readonly string[] } {
  const decoder = new Decoder();
  try {
    return { object: decoder.object(model, value), unknown: decoder.unknown };
  } catch (error) {
    if (error instanceof DecodeError) throw badRequest(error.message);
    throw error;
  }
}

/** The refusal of `fieldValidation=Strict`. */
export function strictDecodingError(type: TypeName, problems: readonly string[]): StatusError {
  return cannotHandle(type, `strict decoding error: ${problems.join(', ')}`);
}

function cannotHandle({ kind, version }: TypeName, why: string): StatusError {
  return badRequest(`${kind} in version ${quote(version)} cannot be handled as a ${kind}: ${why}`);
}

function versionOf({ group, version }: TypeName): string {
  return group === '' ? version : `${group}/${version}`;
}

/** @throws StatusError 400 when the document is nested too deeply for anything recursive */
export function checkDepth(value: unknown): void {
  if (!isShallow(value)) throw badRequest(`json: exceeded max depth of ${maxDepth}`);
}

class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

/** Lists and maps that are written even when empty, because their fields are not `omitempty`. */
const keptEmpty = new Set([
  'V1PodSpec.containers',
  'V1EndpointSlice.endpoints',
  'V1EndpointSlice.ports',
  'V1Endpoint.addresses',
  'V1Role.rules',
  'V1ClusterRole.rules',
  'V1PolicyRule.verbs',
  'V1HTTPIngressRuleValue.paths',
  'V1ProjectedVolumeSource.sources',
  'V1NodeSelector.nodeSelectorTerms',
  'V1TokenRequestSpec.audiences',
  'V1CustomResourceDefinitionSpec.versions',
  'V1CustomResourceDefinitionStatus.conditions',
  'V1CustomResourceDefinitionStatus.storedVersions',
  'V1MutatingWebhook.admissionReviewVersions',
  'V1ValidatingWebhook.admissionReviewVersions',
  'V1SubjectRulesReviewStatus.resourceRules',
  'V1SubjectRulesReviewStatus.nonResourceRules',
  'V1ResourceRule.verbs',
  'V1NonResourceRule.verbs',
  'V1PodFailurePolicy.rules',
  'V1WebhookConversion.conversionReviewVersions',
]);

function isDroppedWhenEmpty(model: string, name: string, value: unknown): boolean {
  const isEmpty = isArray(value) && value.length === 0;
  return isEmpty && !keptEmpty.has(`${model}.${name}`) && !(name === 'items' && model.endsWith('List'));
}

/** One pass over one document. Recursion is bounded by the depth check before it. */
class Decoder {
  readonly unknown: string[] = []; // paths
  /** Where we stand, twice: with indexes and map keys for problems, struct fields only for type errors, as Go does. */
  readonly #path: string[] = [];
  readonly #fields: string[] = [];
  #struct = '';

  object(model: string, value: unknown): JsonObject {
    if (!isObject(value)) throw this.#mismatch(value, { kind: 'model', model });
    const { fields } = knownModel(model);
    const result: MutableObject = {};
    const outer = this.#struct;
    for (const [name, child] of Object.entries(value)) {
      this.#path.push(this.#path.length === 0 ? name : `.${name}`);
      const type = fields.get(name);
      if (type === undefined) this.#unknown();
      else if (child !== null && child !== undefined) {
        this.#struct = model;
        this.#fields.push(name);
        const decoded = this.#value(type, child);
        const isEmptyMap = type.kind === 'map' && isObject(decoded) && Object.keys(decoded).length === 0;
        if (!isEmptyMap && !isDroppedWhenEmpty(model, name, decoded)) setField(result, name, decoded);
        this.#fields.pop();
      }
      this.#path.pop();
    }
    this.#struct = outer;
    return result;
  }

  #unknown(): void {
    if (this.unknown.length < maxProblems) this.unknown.push(this.#path.join(''));
  }

  #value(type: FieldType, value: unknown): unknown {
    switch (type.kind) {
      case 'any':
        return value;
      case 'model':
        return this.object(type.model, value);
      case 'list':
        return this.#list(type, value);
      case 'map':
        return this.#map(type, value);
      case 'integer':
        return this.#integer(type, value);
      case 'string':
      case 'boolean':
      case 'number':
        if (typeof value !== type.kind) throw this.#mismatch(value, type);
        return value;
      case 'bytes':
        return this.#bytes(type, value);
      case 'int-or-string':
        if (typeof value === 'string' || (typeof value === 'number' && Number.isInteger(value))) return value;
        throw this.#mismatch(value, { kind: 'string' });
      case 'quantity':
        return this.#quantity(value);
      case 'time':
      case 'micro-time':
        return this.#time(value, type.kind === 'micro-time');
    }
  }

  #list(type: FieldType & { kind: 'list' }, value: unknown): unknown {
    if (!isArray(value)) throw this.#mismatch(value, type);
    return value.map((item, index) => {
      this.#path.push(`[${index}]`);
      const decoded = item === null || item === undefined ? zeroOf(type.items) : this.#value(type.items, item);
      this.#path.pop();
      return decoded;
    });
  }

  #map(type: FieldType & { kind: 'map' }, value: unknown): unknown {
    if (!isObject(value)) throw this.#mismatch(value, type);
    const result: MutableObject = {};
    for (const [key, child] of Object.entries(value)) {
      if (child === undefined) continue; // from code inside this process; JSON has no undefined
      this.#path.push(`.${key}`);
      setField(result, key, child === null ? zeroOf(type.values) : this.#value(type.values, child));
      this.#path.pop();
    }
    return result;
  }

  #integer(type: FieldType & { kind: 'integer' }, value: unknown): number {
    if (typeof value !== 'number') throw this.#mismatch(value, type);
    const isInRange =
      type.bits === 32 ? value === Math.trunc(value) && Math.abs(value) <= 2 ** 31 : Number.isInteger(value);
    if (isInRange && value !== 2 ** 31) return value;
    throw this.#mismatch(value, type, `number ${value}`);
  }

  #bytes(type: FieldType, value: unknown): string {
    if (typeof value !== 'string') throw this.#mismatch(value, type);
    const clean = value.replace(/[\r\n]/g, '');
    const broken = /[^A-Za-z0-9+/=]/.exec(clean)?.index ?? (/^[^=]*={0,2}$/.test(clean) ? -1 : clean.indexOf('='));
    if (broken >= 0) throw new DecodeError(`illegal base64 data at input byte ${broken}`);
    if (clean.length % 4 !== 0)
      throw new DecodeError(`illegal base64 data at input byte ${clean.length - (clean.length % 4)}`);
    return clean;
  }

  #quantity(value: unknown): string {
    const text = typeof value === 'number' ? String(value) : value;
    const quantity = typeof text === 'string' ? parseQuantity(text) : undefined;
    if (quantity !== undefined) return printQuantity(quantity);
    throw new DecodeError(
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
  }

  #time(value: unknown, isMicro: boolean): string {
    if (typeof value !== 'string') {
      throw new DecodeError(`json: cannot unmarshal ${nameOfJson(value)} into Go value of type string`);
    }
    const parts = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,9}))?(?:Z|[+-]\d\d:\d\d)$/.exec(value);
    const ms = Date.parse(value);
    if (parts === null || Number.isNaN(ms)) {
      const layout = isMicro ? '2006-01-02T15:04:05.000000Z07:00' : '2006-01-02T15:04:05Z07:00';
      throw new DecodeError(`parsing time ${quote(value)} as ${quote(layout)}: cannot parse ${quote(value)} as "2006"`);
    }
    const seconds = new Date(ms).toISOString().slice(0, 19);
    return isMicro ? `${seconds}.${(parts[1] ?? '').padEnd(6, '0').slice(0, 6)}Z` : `${seconds}Z`;
  }

  #mismatch(value: unknown, type: FieldType, found: string = nameOfJson(value)): DecodeError {
    if (this.#struct === '')
      return new DecodeError(`json: cannot unmarshal ${found} into Go value of type ${goType(type)}`);
    const place = `${structName(this.#struct)}.${this.#fields.join('.')}`;
    return new DecodeError(`json: cannot unmarshal ${found} into Go struct field ${place} of type ${goType(type)}`);
  }
}

/** What Go leaves in a list or map where the JSON has null. */
function zeroOf(type: FieldType): unknown {
  switch (type.kind) {
    case 'string':
    case 'bytes':
      return '';
    case 'boolean':
      return false;
    case 'integer':
    case 'number':
    case 'int-or-string':
      return 0;
    case 'quantity':
      return '0';
    case 'list':
      return [];
    case 'map':
    case 'model':
      return {};
    default:
      return null;
  }
}

function nameOfJson(value: unknown): string {
  if (isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

/** `V1PodSpec` and `CoreV1Event` are `PodSpec` and `Event` in Go. */
function structName(model: string): string {
  return model.replace(/^(?:[A-Z][a-z]+)?V\d(?:(?:alpha|beta)\d)?(?=[A-Z])/, '');
}

function goType(type: FieldType): string {
  switch (type.kind) {
    case 'integer':
      return `int${type.bits}`;
    case 'boolean':
      return 'bool';
    case 'number':
      return 'float64';
    case 'bytes':
      return '[]uint8';
    case 'list':
      return `[]${goType(type.items)}`;
    case 'map':
      return `map[string]${goType(type.values)}`;
    case 'model':
      return `${/V\d(?:(?:alpha|beta)\d)?/.exec(type.model)?.[0].toLowerCase() ?? 'v1'}.${structName(type.model)}`;
    default:
      return 'string';
  }
}
