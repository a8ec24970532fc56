import { json, plainText, type Answer, type ApiCall } from './api-call.ts';
import { Discovery } from './present/discovery.ts';
import type { Document } from './present/document.ts';
import { OpenApi } from './present/openapi.ts';
import type { Registry } from './registry.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import { methodNotAllowed } from './status-error.ts';

/** The version of Kubernetes this server behaves like; clients choose their own behaviour by it. */
export const KUBERNETES_VERSION = 'v1.32.0';

const HEALTH_PATHS = ['/healthz', '/livez', '/readyz'];

/** Answers the paths that are not resources: health, version, discovery, OpenAPI, keys of the token issuer. */
export class PathHandler {
  readonly #discovery: Discovery;
  readonly #openApi: OpenApi;
  readonly #tokens: ServiceAccountTokens;

  constructor(registry: Registry, tokens: ServiceAccountTokens, serverAddress: () => string) {
    this.#discovery = new Discovery(registry, serverAddress);
    this.#openApi = new OpenApi(registry);
    this.#tokens = tokens;
  }

  handle(call: ApiCall): Answer {
    const answer = this.#read(call);
    const isRead = call.method === 'GET' || call.method === 'HEAD';
    if (!isRead && !(answer.kind === 'text' && answer.status === 404)) throw methodNotAllowed();
    return answer;
  }

  #read(call: ApiCall): Answer {
    const path = call.path.replace(/(?<=.)\/+$/, '');
    if (HEALTH_PATHS.some((health) => path === health || path.startsWith(`${health}/`))) return plainText(200, 'ok');
    if (path === '/version') return json(200, versionInfo());
    if (path === '/.well-known/openid-configuration') return json(200, this.#openIdConfiguration());
    if (path === '/openid/v1/jwks') {
      const headers = { 'content-type': 'application/jwk-set+json' };
      return { kind: 'text', status: 200, headers, body: JSON.stringify(this.#tokens.keySet()) };
    }
    const { accept } = call.headers;
    const ifNoneMatch = call.headers['if-none-match'];
    const known = path.startsWith('/openapi/')
      ? this.#openApi.answer(path, call.query, { accept, 'if-none-match': ifNoneMatch })
      : this.#discovery.answer(path, { accept, 'if-none-match': ifNoneMatch });
    return known === undefined ? plainText(404, '404 page not found\n') : document(known);
  }

  #openIdConfiguration(): Record<string, unknown> {
    return {
      issuer: this.#tokens.issuer,
      jwks_uri: `${this.#tokens.issuer}/openid/v1/jwks`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
    };
  }
}

function document({ status, headers, body }: Document): Answer {
  return { kind: 'text', status, headers, body };
}

function versionInfo(): Record<string, string> {
  const [major = '', minor = ''] = KUBERNETES_VERSION.slice(1).split('.');
  return {
    major,
    minor,
    gitVersion: `${KUBERNETES_VERSION}+tulle`,
    gitCommit: 'sandbox',
    gitTreeState: 'clean',
    buildDate: '2024-12-11T17:59:15Z',
    goVersion: `node${process.versions.node}`,
    compiler: 'v8',
    platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
  };
}
