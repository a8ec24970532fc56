import type { KubeClient } from '#k8s/client.ts';
import { asList, asObject, asText } from '#k8s/json.ts';
import { parseServiceAccountUser, type ServiceAccount } from '#pki/names.ts';

/** The audience that tokens for this service must name. */
export const TOKEN_AUDIENCE = 'identity.l5d.io';

/** Whose token it is, or why it is nobody's. */
export type TokenVerdict =
  | { readonly isAuthenticated: true; readonly account: ServiceAccount }
  | { readonly isAuthenticated: false; readonly reason: string };

/**
 * Asks the API server whose service-account token this is.
 *
 * @throws KubeError  when the API server cannot be asked
 */
export async function reviewToken(client: KubeClient, token: string): Promise<TokenVerdict> {
  const review = await client.request({
    method: 'POST',
    path: '/apis/authentication.k8s.io/v1/tokenreviews',
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, audiences: [TOKEN_AUDIENCE] },
    },
  });
  const status = asObject(asObject(review)['status']);
  if (status['authenticated'] !== true) {
    return { isAuthenticated: false, reason: asText(status['error']) ?? 'the token is not valid' };
  }
  // Without this check a server that ignores audiences would let tokens for other services in.
  if (!asList(status['audiences']).includes(TOKEN_AUDIENCE)) {
    return { isAuthenticated: false, reason: `the token is not for the audience ${TOKEN_AUDIENCE}` };
  }
  const username = asText(asObject(status['user'])['username']) ?? '';
  const account = parseServiceAccountUser(username);
  if (account === undefined) return { isAuthenticated: false, reason: `"${username}" is not a service account` };
  return { isAuthenticated: true, account };
}
