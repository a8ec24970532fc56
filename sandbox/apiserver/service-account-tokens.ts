import { createHash, createPublicKey, randomUUID, sign, verify, type KeyObject } from 'node:crypto';
import { isJsonObject, type JsonObject } from './object.ts';
import type { Store } from './store.ts';
import { parseServiceAccount, serviceAccountGroups, serviceAccountName, type User } from './user.ts';

const TOKEN_LENGTH_MAX = 16 * 1024; // characters
const ENCODING = 'ieee-p1363'; // the form of ECDSA signatures that JWS wants

/** An object a token is bound to: when it is gone, the token is void. */
export type BoundObject = { readonly kind: 'Pod' | 'Secret'; readonly name: string; readonly uid: string };

export type TokenClaims = {
  readonly namespace: string;
  readonly serviceAccount: { readonly name: string; readonly uid: string };
  readonly audiences: readonly string[];
  readonly lifetimeSeconds: number;
  readonly bound?: BoundObject;
  readonly node?: { readonly name: string; readonly uid: string };
};

/** Who a token speaks for, and the audiences asked for that it has. */
export type VerifiedToken = { readonly user: User; readonly audiences: readonly string[] };

/** Makes and checks the JSON web tokens of service accounts. ES256. */
export class ServiceAccountTokens {
  readonly issuer: string;
  readonly #key: KeyObject;
  readonly #publicKey: KeyObject;
  readonly #keyId: string;
  readonly #store: Store;
  readonly #nowMs: () => number;

  constructor(issuer: string, key: KeyObject, store: Store, nowMs: () => number) {
    this.issuer = issuer;
    this.#key = key;
    this.#publicKey = createPublicKey(key);
    const publicInfo = this.#publicKey.export({ type: 'spki', format: 'der' });
    this.#keyId = createHash('sha256').update(publicInfo).digest('base64url');
    this.#store = store;
    this.#nowMs = nowMs;
  }

  /** @returns the token and when it expires, in milliseconds since the epoch */
  issue(claims: TokenClaims): { token: string; expiresMs: number } {
    const now = Math.floor(this.#nowMs() / 1000);
    const expires = now + claims.lifetimeSeconds;
    const { namespace, serviceAccount, bound, node } = claims;
    const header = { alg: 'ES256', kid: this.#keyId };
    const payload = {
      aud: claims.audiences,
      exp: expires,
      iat: now,
      iss: this.issuer,
      jti: randomUUID(),
      'kubernetes.io': {
        namespace,
        ...(node === undefined ? {} : { node }),
        ...(bound === undefined ? {} : { [bound.kind.toLowerCase()]: { name: bound.name, uid: bound.uid } }),
        serviceaccount: serviceAccount,
      },
      nbf: now,
      sub: serviceAccountName(namespace, serviceAccount.name),
    };
    const signed = `${base64url(header)}.${base64url(payload)}`;
    const signature = sign('sha256', Buffer.from(signed), { key: this.#key, dsaEncoding: ENCODING });
    return { token: `${signed}.${signature.toString('base64url')}`, expiresMs: expires * 1000 };
  }

  /**
   * @param audiences  any of them will do; empty: the API server's own
   * @returns undefined for a token that is not ours, not valid now, or whose account or bound object is gone
   */
  verify(token: string, audiences: readonly string[]): VerifiedToken | undefined {
    const payload = this.#payload(token);
    if (payload === undefined || payload['iss'] !== this.issuer) return undefined;
    const now = this.#nowMs() / 1000;
    const { exp, nbf, aud } = payload;
    if (typeof exp !== 'number' || exp <= now) return undefined;
    if (typeof nbf === 'number' && nbf > now + 10) return undefined;
    const wanted = audiences.length === 0 ? [this.issuer] : audiences;
    const matching = wanted.filter((audience) => Array.isArray(aud) && aud.includes(audience));
    if (matching.length === 0) return undefined;
    const user = this.#userOf(payload);
    return user === undefined ? undefined : { user, audiences: matching };
  }

  /** Public keys as a JSON web key set. Source: RFC 7517. */
  keySet(): JsonObject {
    const key = this.#publicKey.export({ format: 'jwk' });
    return { keys: [{ use: 'sig', kid: this.#keyId, alg: 'ES256', ...key }] };
  }

  #payload(token: string): JsonObject | undefined {
    const [header = '', payload = '', signature = '', ...rest] =
      token.length > TOKEN_LENGTH_MAX ? [] : token.split('.');
    if (signature === '' || rest.length > 0 || parse(header)?.['alg'] !== 'ES256') return undefined;
    const isOurs = verify(
      'sha256',
      Buffer.from(`${header}.${payload}`),
      { key: this.#publicKey, dsaEncoding: ENCODING },
      Buffer.from(signature, 'base64url'),
    );
    return isOurs ? parse(payload) : undefined;
  }

  #userOf(payload: JsonObject): User | undefined {
    const { sub, jti } = payload;
    const account = parseServiceAccount(typeof sub === 'string' ? sub : '');
    const claims = payload['kubernetes.io'];
    if (account === undefined || !isJsonObject(claims)) return undefined;
    const { namespace, name } = account;
    const stored = this.#store.get('serviceaccounts', namespace, name);
    if (stored === undefined || stored.metadata.uid !== fieldOf(claims['serviceaccount'], 'uid')) return undefined;
    const extra: Record<string, readonly string[]> = {
      'authentication.kubernetes.io/credential-id': [`JTI=${String(jti)}`],
    };
    for (const [claim, resource] of [
      ['pod', 'pods'],
      ['secret', 'secrets'],
    ] as const) {
      if (claims[claim] === undefined) continue;
      const boundName = fieldOf(claims[claim], 'name');
      const bound = this.#store.get(resource, namespace, boundName);
      if (bound === undefined || bound.metadata.uid !== fieldOf(claims[claim], 'uid')) return undefined;
      extra[`authentication.kubernetes.io/${claim}-name`] = [boundName];
      extra[`authentication.kubernetes.io/${claim}-uid`] = [bound.metadata.uid];
    }
    if (claims['node'] !== undefined) {
      extra['authentication.kubernetes.io/node-name'] = [fieldOf(claims['node'], 'name')];
      extra['authentication.kubernetes.io/node-uid'] = [fieldOf(claims['node'], 'uid')];
    }
    return {
      username: serviceAccountName(namespace, name),
      uid: stored.metadata.uid,
      groups: serviceAccountGroups(namespace),
      extra,
    };
  }
}

function base64url(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function parse(part: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined; // not a token
  }
}

function fieldOf(value: unknown, field: string): string {
  const found = isJsonObject(value) ? value[field] : undefined;
  return typeof found === 'string' ? found : '';
}
