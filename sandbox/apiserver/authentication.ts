import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Attributes, Authorizer } from './rbac.ts';
import { describe } from './rbac.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import { badRequest, forbidden, unauthorized } from './status-error.ts';
import { anonymous, AUTHENTICATED, parseServiceAccount, serviceAccountGroups, type User } from './user.ts';

const EXTRA_HEADER = 'impersonate-extra-';

/** Finds out who makes a request: bearer token, else client certificate, else anonymous; then whom they act as. */
export class Authenticator {
  readonly #tokens: ServiceAccountTokens;
  readonly #authorizer: Authorizer;

  constructor(tokens: ServiceAccountTokens, authorizer: Authorizer) {
    this.#tokens = tokens;
    this.#authorizer = authorizer;
  }

  /** @throws StatusError 401 for credentials that are wrong, 403 for impersonation without the right to it */
  authenticate(request: IncomingMessage): User {
    const user = this.#tokenUser(request.headers.authorization) ?? certificateUser(request) ?? anonymous;
    return this.#impersonated(user, request.headersDistinct);
  }

  #tokenUser(header: string | undefined): User | undefined {
    if (header === undefined) return undefined;
    const [, token] = /^bearer +(\S+) *$/i.exec(header) ?? [];
    const verified = token === undefined ? undefined : this.#tokens.verify(token, []);
    if (verified === undefined) throw unauthorized();
    return verified.user;
  }

  /** Source: `WithImpersonation` of apiserver. Each part that is taken on needs the verb impersonate. */
  #impersonated(user: User, headers: IncomingMessage['headersDistinct']): User {
    const username = one(headers['impersonate-user']);
    const groups = all(headers['impersonate-group']);
    const uid = one(headers['impersonate-uid']);
    const extra = Object.entries(headers).filter(([name]) => name.startsWith(EXTRA_HEADER));
    if (username === undefined) {
      if (groups.length > 0 || uid !== undefined || extra.length > 0) throw unauthorized();
      return user;
    }
    const account = parseServiceAccount(username);
    if (account === undefined) this.#demand(user, '', 'users', '', username, '');
    else this.#demand(user, '', 'serviceaccounts', '', account.name, account.namespace);
    for (const group of groups) this.#demand(user, '', 'groups', '', group, '');
    const authentication = 'authentication.k8s.io';
    if (uid !== undefined) this.#demand(user, authentication, 'uids', '', uid, '');
    const extras: Record<string, readonly string[]> = {};
    for (const [name, value] of extra) {
      const key = extraKey(name);
      const values = value ?? [];
      for (const item of values) this.#demand(user, authentication, 'userextras', key, item, '');
      extras[key] = values;
    }
    const given = groups.length > 0 || account === undefined ? groups : serviceAccountGroups(account.namespace);
    const isAnonymous = username === anonymous.username;
    return {
      username,
      ...(uid === undefined ? {} : { uid }),
      groups: isAnonymous || given.includes(AUTHENTICATED) ? given : [...given, AUTHENTICATED],
      extra: extras,
    };
  }

  #demand(user: User, group: string, resource: string, subresource: string, name: string, namespace: string): void {
    const attributes: Attributes = {
      kind: 'resource',
      verb: 'impersonate',
      group,
      resource,
      subresource,
      namespace,
      name,
    };
    if (this.#authorizer.authorize(user, attributes).isAllowed) return;
    throw forbidden({ group, plural: resource, kind: resource }, name, describe(user, attributes));
  }
}

function extraKey(header: string): string {
  try {
    return decodeURIComponent(header.slice(EXTRA_HEADER.length));
  } catch (error) {
    throw badRequest(`invalid URL escape in the header ${header}`, error);
  }
}

function certificateUser(request: IncomingMessage): User | undefined {
  const { socket } = request;
  if (!(socket instanceof TLSSocket)) return undefined;
  const { subject } = socket.getPeerCertificate();
  if (subject === undefined) return undefined;
  if (!socket.authorized) throw unauthorized();
  const groups = all(subject.O);
  return { username: one(subject.CN) ?? '', groups: [...groups, AUTHENTICATED] };
}

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

function all(value: string | string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value];
}
