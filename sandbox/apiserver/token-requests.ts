import { timestamp } from './object-meta.ts';
import type { BoundObject, ServiceAccountTokens } from './service-account-tokens.ts';
import { badRequest, notFound } from './status-error.ts';
import { isJsonObject } from './object.ts';
import type { Store } from './store.ts';

export type TokenOrder = {
  readonly audiences: readonly string[]; // empty: the API server's own
  readonly expirationSeconds: number;
  readonly bound?: BoundObject;
};

const LIFETIME_SECONDS_MIN = 600;
const LIFETIME_SECONDS_MAX = 2 ** 32;

/** Hands out tokens for service accounts. Source: the subresource serviceaccounts/token. */
export class TokenRequests {
  readonly #tokens: ServiceAccountTokens;
  readonly #store: Store;

  constructor(tokens: ServiceAccountTokens, store: Store) {
    this.#tokens = tokens;
    this.#store = store;
  }

  /** @throws StatusError 404 when the account is not there, 400 when the bound object is not what it is said to be */
  issue(namespace: string, name: string, order: TokenOrder): { token: string; expirationTimestamp: string } {
    const account = this.#store.get('serviceaccounts', namespace, name);
    if (account === undefined) {
      throw notFound({ group: '', plural: 'serviceaccounts', kind: 'ServiceAccount' }, name);
    }
    const { bound } = order;
    const node = bound === undefined ? undefined : this.#checkBound(namespace, name, bound);
    const lifetimeSeconds = Math.min(Math.max(order.expirationSeconds, LIFETIME_SECONDS_MIN), LIFETIME_SECONDS_MAX);
    const { token, expiresMs } = this.#tokens.issue({
      namespace,
      serviceAccount: { name, uid: account.metadata.uid },
      audiences: order.audiences.length === 0 ? [this.#tokens.issuer] : order.audiences,
      lifetimeSeconds,
      ...(bound === undefined ? {} : { bound }),
      ...(node === undefined ? {} : { node }),
    });
    return { token, expirationTimestamp: timestamp(expiresMs) };
  }

  /** @returns the node of a bound pod that runs somewhere */
  #checkBound(namespace: string, account: string, bound: BoundObject): { name: string; uid: string } | undefined {
    const [plural, kind] = bound.kind === 'Pod' ? ['pods', 'Pod'] : ['secrets', 'Secret'];
    const object = this.#store.get(plural, namespace, bound.name);
    if (object === undefined) throw notFound({ group: '', plural, kind }, bound.name);
    if (bound.uid !== '' && bound.uid !== object.metadata.uid) {
      throw badRequest(
        `the UID in the bound object reference (${bound.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
      );
    }
    if (bound.kind !== 'Pod') return undefined;
    const spec = isJsonObject(object['spec']) ? object['spec'] : {};
    if (spec['serviceAccountName'] !== account) {
      throw badRequest(
        `cannot bind token for serviceaccount ${JSON.stringify(account)} to pod running with different serviceaccount name.`,
      );
    }
    const nodeName = typeof spec['nodeName'] === 'string' ? spec['nodeName'] : '';
    const node = this.#store.get('nodes', undefined, nodeName);
    return node === undefined ? undefined : { name: nodeName, uid: node.metadata.uid };
  }
}
