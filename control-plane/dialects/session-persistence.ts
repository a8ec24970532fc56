import { createHash } from 'node:crypto';
import { asList, asObject, asText, isObject, type JsonObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import {
  isCookiePath,
  isSessionName,
  type SessionCarrier,
  type SessionPersistence,
} from '#model/session-persistence.ts';
import { readGatewayDuration } from './gateway-api.ts';
import { outboundParents } from './outbound-parents.ts';
import { Problems, type Problem } from './problem.ts';
import { isConnectionRoute } from './route-kinds.ts';

/**
 * Reads `sessionPersistence` of a rule, as Gateway API has it up to v1.6 (`sessionName`, `cookieConfig`) and since v1.7 (`cookie`,
 * `header`). Source: GEP-1619.
 *
 * @param field  of the rule
 * @param index  its place in `spec.rules`
 * @returns nothing where the rule does not ask for sessions
 */
export function readSessionPersistence(
  rule: JsonObject,
  field: string,
  index: number,
  object: CustomObject,
  problems: Problems,
): SessionPersistence | undefined {
  const fields = rule['sessionPersistence'];
  if (!isObject(fields)) return undefined;
  const at = `${field}.sessionPersistence`;
  const scope = scopeOf(rule, index, object);
  const carrier = readCarrier(fields, at, scope, problems);
  const absoluteTimeoutMs = readLimit(fields, 'absoluteTimeout', at, problems);
  const idleTimeoutMs = readLimit(fields, 'idleTimeout', at, problems);
  if (carrier?.kind === 'cookie' && carrier.isPermanent && fields['absoluteTimeout'] === undefined)
    problems.add(`${at}.absoluteTimeout`, 'is missing: a cookie of lifetimeType Permanent needs to know when it ends');
  return (
    carrier && {
      carrier,
      scope,
      ...(absoluteTimeoutMs && { absoluteTimeoutMs }),
      ...(idleTimeoutMs && { idleTimeoutMs }),
    }
  );
}

/** Sessions are of one rule: of its name where it has one, so that it may move within the route. */
function scopeOf(rule: JsonObject, index: number, { group, kind, namespace, name }: CustomObject): string {
  const place = JSON.stringify([group, kind, namespace, name, asText(rule['name']) ?? index]);
  return createHash('sha256').update(place).digest('hex').slice(0, 16);
}

function readCarrier(fields: JsonObject, at: string, scope: string, problems: Problems): SessionCarrier | undefined {
  const type = asText(fields['type']) ?? 'Cookie';
  const settings = isObject(fields['cookie']) ? 'cookie' : 'cookieConfig';
  if (type === 'Cookie') return readCookie(fields, settings, at, scope, problems);
  if (type !== 'Header') return problems.add(`${at}.type`, `"${type}" is not Cookie or Header`);
  if (fields[settings] !== undefined) problems.add(`${at}.${settings}`, 'is only for the type Cookie');
  const { name, from } = nameOf(fields, 'header', scope);
  const header = name.toLowerCase();
  if (!isSessionName(header)) problems.add(`${at}.${from}`, `"${name}" is not a header name of at most 128 characters`);
  if (isReservedField(header)) problems.add(`${at}.${from}`, `the header ${header} has a meaning of its own`);
  return { kind: 'header', name: header };
}

function readCookie(
  fields: JsonObject,
  settings: 'cookie' | 'cookieConfig',
  at: string,
  scope: string,
  problems: Problems,
): SessionCarrier {
  const { name, from } = nameOf(fields, 'cookie', scope);
  if (!isSessionName(name)) problems.add(`${at}.${from}`, `"${name}" is not a cookie name of at most 128 characters`);
  if (/^__(?:host|secure)-/i.test(name))
    problems.add(
      `${at}.${from}`,
      'browsers take such a cookie only with the attribute Secure, which a mesh does not set',
    );
  const { lifetimeType, path } = asObject(fields[settings]);
  const lifetime = asText(lifetimeType) ?? 'Session';
  if (lifetime !== 'Session' && lifetime !== 'Permanent')
    problems.add(`${at}.${settings}.lifetimeType`, `"${lifetime}" is not Session or Permanent`);
  const given = settings === 'cookie' ? asText(path) : undefined;
  if (given !== undefined && !isCookiePath(given))
    problems.add(`${at}.cookie.path`, `"${given}" is not a path that begins with / and has no semicolon`);
  return { kind: 'cookie', name, isPermanent: lifetime === 'Permanent', ...(given !== undefined && { path: given }) };
}

/** What the session is called, and the field that says so; GEP-1619 wants a unique name where none does. */
function nameOf(
  fields: JsonObject,
  carrier: 'cookie' | 'header',
  scope: string,
): { readonly name: string; readonly from: string } {
  const own = asText(asObject(fields[carrier])['name']);
  if (own !== undefined) return { name: own, from: `${carrier}.name` };
  return { name: asText(fields['sessionName']) ?? `tulle-session-${scope.slice(0, 8)}`, from: 'sessionName' };
}

/** Fields that delimit or direct a message, or concern one connection, cookies, and what proxies say to each other. */
function isReservedField(name: string): boolean {
  return (
    /^(?:connection|content-length|cookie|host|keep-alive|proxy-connection|set-cookie)$/.test(name) ||
    /^(?:te|trailer|transfer-encoding|upgrade|l5d[-_].*)$/.test(name)
  );
}

function readLimit(
  fields: JsonObject,
  name: 'absoluteTimeout' | 'idleTimeout',
  at: string,
  problems: Problems,
): number | undefined {
  const limitMs = readGatewayDuration(fields[name], `${at}.${name}`, problems);
  if (limitMs === 0) problems.add(`${at}.${name}`, 'ends every session at once: leave it out for sessions without it');
  return limitMs;
}

/** Where sessions are asked for and there can be none. */
export function sessionsWithoutEffect(object: CustomObject): readonly Problem[] {
  const parents = outboundParents(object);
  const isOfAddresses = parents.every(({ kind }) => kind === 'EgressNetwork');
  return asList(object.spec['rules']).flatMap((value, index) => {
    const rule = asObject(value);
    if (parents.length === 0 || !isObject(rule['sessionPersistence'])) return [];
    const reason = whyWithoutEffect(object, rule, isOfAddresses);
    return reason === undefined
      ? []
      : [{ field: `spec.rules[${index}].sessionPersistence`, message: `has no effect: ${reason}` }];
  });
}

function whyWithoutEffect(object: CustomObject, rule: JsonObject, isOfAddresses: boolean): string | undefined {
  if (isConnectionRoute(object)) return `a ${object.kind} is about connections, which show no session`;
  const types = asList(rule['filters']).map((filter) => asObject(filter)['type']);
  if (types.includes('RequestRedirect')) return 'the rule redirects';
  const backends = asList(rule['backendRefs']).map(asObject);
  const isAddress = isOfAddresses && backends.every(({ kind }) => kind === 'EgressNetwork');
  return isAddress ? 'requests go to the address that the client asks for' : undefined;
}

/** Rules whose sessions stand at the same place of a request: each would end the other's. */
export function sharedSessions(object: CustomObject): readonly Problem[] {
  if (outboundParents(object).length === 0) return [];
  const taken = new Map<string, number>(); // the first rule of each place
  return asList(object.spec['rules']).flatMap((value, index) => {
    const rule = asObject(value);
    const field = `spec.rules[${index}]`;
    // What is wrong with it is told where the route is compiled.
    const carrier = readSessionPersistence(rule, field, index, object, new Problems())?.carrier;
    const places = carrier === undefined ? [] : placesOf(carrier, rule);
    const other = places.map((place) => taken.get(place)).find((one) => one !== undefined);
    for (const place of places) taken.set(place, taken.get(place) ?? index);
    if (carrier === undefined || other === undefined) return [];
    const message = `the ${carrier.kind} ${carrier.name} has the sessions of spec.rules[${other}] too`;
    return [{ field: `${field}.sessionPersistence`, message }];
  });
}

/** Cookies of one name are others where their paths differ. */
function placesOf(carrier: SessionCarrier, rule: JsonObject): readonly string[] {
  if (carrier.kind === 'header') return [`header ${carrier.name}`];
  const matches = asList(rule['matches']).map((match) => asText(asObject(asObject(match)['path'])['value']) ?? '/');
  const paths = carrier.path === undefined ? (matches.length > 0 ? matches : ['/']) : [carrier.path];
  return [...new Set(paths)].map((path) => `cookie ${carrier.name} ${path}`);
}
