import { badRequest, patchRejected, tooLarge } from '../status-error.ts';
import { deepEqual, field, isArray, isObject, withField, type JsonObject } from './json.ts';

const maxOperations = 10_000;
const maxCopiedBytes = 3 * 1024 * 1024; // what all `copy` operations of one patch may add together, as in kube-apiserver

/** One operation as sent. `value` may be `null`, so its presence is asked of the object. */
type Operation = {
  readonly op: string;
  readonly path: Pointer;
  readonly from: Pointer | undefined;
  readonly body: JsonObject;
};
type Pointer = readonly string[]; // unescaped reference tokens; empty: the whole document

/**
 * Applies a JSON patch (RFC 6902). All operations succeed or none does.
 *
 * @throws StatusError 400 when `patch` is no JSON patch, 422 when an operation does not apply (missing path, failed test)
 */
export function applyJsonPatch(document: JsonObject, patch: unknown): JsonObject {
  if (!isArray(patch)) throw badRequest('json: cannot unmarshal object into Go value of type jsonpatch.Patch');
  if (patch.length > maxOperations) {
    throw badRequest(`The allowed maximum operations in a JSON patch is ${maxOperations}, got ${patch.length}`);
  }
  const copied = { bytes: 0 };
  const result = patch
    .map(parseOperation)
    .reduce<unknown>((at, operation) => applyOperation(at, operation, copied), document);
  if (!isObject(result)) throw patchRejected(new Error('the patched document is no object'));
  return result;
}

function parseOperation(body: unknown): Operation {
  const op = field(body, 'op');
  if (!isObject(body) || typeof op !== 'string') throw patchRejected(new Error('an operation has no op'));
  const path = parsePointer(field(body, 'path'));
  const from = op === 'move' || op === 'copy' ? parsePointer(field(body, 'from')) : undefined;
  return { op, path, from, body };
}

function parsePointer(pointer: unknown): Pointer {
  if (typeof pointer !== 'string') throw patchRejected(new Error('an operation has no path or from'));
  if (pointer === '') return [];
  if (!pointer.startsWith('/')) throw patchRejected(new Error(`not a JSON pointer: ${pointer}`));
  return pointer
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function applyOperation(document: unknown, { op, path, from, body }: Operation, copied: { bytes: number }): unknown {
  switch (op) {
    case 'add':
      return add(document, path, valueOf(body));
    case 'remove':
      return remove(document, path);
    case 'replace': {
      const value = valueOf(body);
      get(document, path);
      return path.length === 0 ? value : change(document, path, () => value);
    }
    case 'move': {
      const source = from ?? [];
      const value = get(document, source);
      if (deepEqual(source, path)) return document;
      if (path.length > source.length && deepEqual(path.slice(0, source.length), source)) {
        throw patchRejected(new Error('a value cannot be moved into itself'));
      }
      return add(remove(document, source), path, value);
    }
    case 'copy': {
      const value = get(document, from ?? []);
      copied.bytes += Buffer.byteLength(JSON.stringify(value));
      if (copied.bytes > maxCopiedBytes) throw tooLarge(maxCopiedBytes);
      return add(document, path, value);
    }
    case 'test':
      return test(document, path, Object.hasOwn(body, 'value') ? body['value'] : null);
    default:
      throw patchRejected(new Error(`unexpected kind: ${op}`));
  }
}

function valueOf(body: JsonObject): unknown {
  if (!Object.hasOwn(body, 'value')) throw patchRejected(new Error('an operation has no value'));
  return body['value'];
}

/** A test for null also holds where there is nothing. */
function test(document: unknown, path: Pointer, expected: unknown): unknown {
  const found = lookUp(document, path);
  if (found === undefined ? expected === null : deepEqual(found.value, expected)) return document;
  throw patchRejected(new Error(`testing path /${path.join('/')} failed`));
}

function get(document: unknown, path: Pointer): unknown {
  const found = lookUp(document, path);
  if (found === undefined) throw missing(path);
  return found.value;
}

function missing(path: Pointer): Error {
  return patchRejected(new Error(`there is nothing at /${path.join('/')}`));
}

function lookUp(document: unknown, path: Pointer): { readonly value: unknown } | undefined {
  let value = document;
  for (const token of path) {
    if (isArray(value)) {
      const index = arrayIndex(token, value.length - 1);
      if (index === undefined) return undefined;
      value = value[index];
    } else if (isObject(value) && Object.hasOwn(value, token)) value = value[token];
    else return undefined;
  }
  return { value };
}

/** RFC 6901 array index: no sign, no leading zero, at most `max`. */
function arrayIndex(token: string, max: number): number | undefined {
  if (!/^(?:0|[1-9]\d{0,9})$/.test(token)) return undefined;
  const index = Number(token);
  return index <= max ? index : undefined;
}

function add(document: unknown, path: Pointer, value: unknown): unknown {
  const last = path.at(-1);
  if (last === undefined) return value;
  return change(document, path.slice(0, -1), (parent) => {
    if (isObject(parent)) return withField(parent, last, value);
    if (!isArray(parent)) throw missing(path);
    const index = last === '-' ? parent.length : arrayIndex(last, parent.length);
    if (index === undefined) throw missing(path);
    return parent.toSpliced(index, 0, value);
  });
}

function remove(document: unknown, path: Pointer): unknown {
  const last = path.at(-1);
  get(document, path);
  if (last === undefined) return null;
  return change(document, path.slice(0, -1), (parent) =>
    isArray(parent) ? parent.toSpliced(Number(last), 1) : withField(isObject(parent) ? parent : {}, last, undefined),
  );
}

/** The document with the value at `path` replaced by what `update` makes of it; only containers on the way are copied. */
function change(document: unknown, path: Pointer, update: (value: unknown) => unknown): unknown {
  const [token, ...rest] = path;
  if (token === undefined) return update(document);
  if (isArray(document)) {
    const index = arrayIndex(token, document.length - 1);
    if (index === undefined) throw missing(path);
    return document.with(index, change(document[index], rest, update));
  }
  if (!isObject(document) || !Object.hasOwn(document, token)) throw missing(path);
  return withField(document, token, change(document[token], rest, update));
}
