import { parse as parseYaml } from 'yaml';
import type { Body } from './object-rules.ts';
import { badRequest, unsupportedMediaType } from './status-error.ts';
import { isShallow } from './objects/json.ts';
import { decodeProtobuf, isProtobuf } from './present/protobuf.ts';

/** Largest body of a request, as in kube-apiserver. */
export const BODY_BYTES_MAX = 3 * 1024 * 1024;

const JSON_TYPES = ['', 'application/json', '*/*'];
const YAML_TYPES = ['application/yaml', 'text/yaml', 'application/x-yaml'];
const OBJECT_TYPES = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'];
const YAML_ALIASES_MAX = 100;

export function mediaType(contentType: string | undefined): string {
  return (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

/**
 * The object that a request carries.
 *
 * @throws StatusError 400 for what cannot be decoded, 415 for types nobody here reads
 */
export function parseBody(bytes: Buffer | undefined, contentType: string | undefined): Body {
  if (bytes === undefined || bytes.length === 0) throw badRequest('the request has no body');
  const type = mediaType(contentType);
  if (isProtobuf(type)) return { value: decodeProtobuf(bytes) };
  if (JSON_TYPES.includes(type)) return jsonBody(bytes);
  if (YAML_TYPES.includes(type)) return { value: yamlValue(bytes) };
  throw unsupportedMediaType(type, OBJECT_TYPES);
}

/** Like `parseBody` where a body may be missing, as in DELETE. */
export function parseOptionalBody(bytes: Buffer | undefined, contentType: string | undefined): unknown {
  return bytes === undefined || bytes.length === 0 ? undefined : parseBody(bytes, contentType).value;
}

export function jsonBody(bytes: Buffer): Body {
  const text = utf8(bytes);
  try {
    return { value: shallow(JSON.parse(text)), text };
  } catch (error) {
    throw badRequest(`couldn't parse the body as JSON: ${error instanceof Error ? error.message : ''}`, error);
  }
}

/** The body of a server-side apply: YAML, of which JSON is a part. */
export function yamlValue(bytes: Buffer): unknown {
  const text = utf8(bytes);
  try {
    return shallow(parseYaml(text, { maxAliasCount: YAML_ALIASES_MAX }));
  } catch (error) {
    throw badRequest(`error decoding YAML: ${error instanceof Error ? error.message : ''}`, error);
  }
}

/** Nothing behind this point may run out of stack. */
function shallow(value: unknown): unknown {
  if (!isShallow(value)) throw new Error('exceeded max depth');
  return value;
}

function utf8(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw badRequest('the body is not valid UTF-8', error);
  }
}
