import type { IncomingMessage, ServerResponse } from 'node:http';
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from '#runtime/log.ts';
import type { Answer, ApiCall } from './api-call.ts';
import type { Authenticator } from './authentication.ts';
import { isWatchRequest } from './list-options.ts';
import type { PathHandler } from './path-handler.ts';
import { describe, type Attributes, type Authorizer } from './rbac.ts';
import { isStored, type Registry } from './registry.ts';
import { BODY_BYTES_MAX } from './request-body.ts';
import { parseTarget, verbOf, type RequestTarget, type ResourceTarget } from './request-target.ts';
import type { ResourceHandler } from './resource-handler.ts';
import type { ReviewHandler } from './reviews.ts';
import { parseSelection, selectedName } from './selection.ts';
import { asStatusError, forbidden, methodNotAllowed, StatusError, tooLarge } from './status-error.ts';
import type { User } from './user.ts';

const WARNINGS_MAX = 50;
/** Above this length in total each one is cut, as kube-apiserver does. */
const WARNINGS_LENGTH_MAX = 4096;
const WARNING_LENGTH_CUT = 256;
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

export type GatewayParts = {
  readonly registry: Registry;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly resources: ResourceHandler;
  readonly reviews: ReviewHandler;
  readonly paths: PathHandler;
  readonly log: Logger;
};

/** A request that may be answered: where it goes and who makes it. */
export type Admitted = { readonly target: RequestTarget; readonly query: URLSearchParams; readonly user: User };

/** The way of every request: path, authentication, authorization, handler, answer. */
export class Gateway {
  readonly #parts: GatewayParts;

  constructor(parts: GatewayParts) {
    this.#parts = parts;
  }

  /** Also used for protocol upgrades, which do not pass through the web framework. */
  admit(request: IncomingMessage, url: string): Admitted {
    const [path, search] = splitUrl(url);
    const query = new URLSearchParams(search);
    const user = this.#parts.authenticator.authenticate(request);
    const target = parseTarget(this.#parts.registry, path);
    const attributes = attributesOf(request.method ?? 'GET', target, query);
    if (!this.#parts.authorizer.authorize(user, attributes).isAllowed) throw refusal(user, target, attributes);
    return { target, query, user };
  }

  async handle(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    try {
      send(reply, await this.#answer(request, reply, warningsTo(reply.raw)));
    } catch (error) {
      const status = asStatusError(error);
      if (status.code >= 500) this.#parts.log.error({ err: error, url: request.originalUrl }, 'request failed');
      sendError(reply, status);
    }
  }

  async #answer(request: FastifyRequest, reply: FastifyReply, warn: (text: string) => void): Promise<Answer> {
    const { raw, originalUrl } = request;
    const { target, query, user } = this.admit(raw, originalUrl);
    const call: ApiCall = {
      method: raw.method ?? 'GET',
      path: splitUrl(originalUrl)[0],
      query,
      headers: raw.headers,
      body: Buffer.isBuffer(request.body) ? request.body : undefined,
      user,
      response: reply.raw,
      warn,
    };
    if (target.kind === 'path') return this.#parts.paths.handle(call);
    if (!isStored(target.type)) return this.#parts.reviews.handle(call, target);
    const { warning } = target.type.custom ?? {};
    if (warning !== undefined) warn(warning);
    return this.#parts.resources.handle(call, target);
  }
}

/** The web server around the gateway: bodies as bytes with a bound, everything else is the gateway's. */
export async function createApp(gateway: Gateway): Promise<FastifyInstance> {
  const app = fastify({
    bodyLimit: BODY_BYTES_MAX,
    // One route for all: the paths of the API are data, not routes. The real URL stays in the raw request.
    rewriteUrl: () => '/',
    routerOptions: { ignoreTrailingSlash: true },
    exposeHeadRoutes: false,
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.route({ method: METHODS, url: '/', handler: (request, reply) => gateway.handle(request, reply) });
  app.setNotFoundHandler((_request, reply) => sendError(reply, methodNotAllowed()));
  app.setErrorHandler((error: { code?: string; statusCode?: number; message?: string }, _request, reply) => {
    if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return sendError(reply, tooLarge(BODY_BYTES_MAX));
    const code = error.statusCode ?? 500;
    return sendError(reply, new StatusError(code, code < 500 ? 'BadRequest' : 'InternalError', error.message ?? ''));
  });
  await app.ready();
  return app;
}

function splitUrl(url: string): [path: string, search: string] {
  const at = url.indexOf('?');
  return at === -1 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)];
}

function attributesOf(method: string, target: RequestTarget, query: URLSearchParams): Attributes {
  if (target.kind === 'path') return { kind: 'path', verb: method.toLowerCase(), path: target.path };
  const verb = verbOf(method, target, isWatchRequest(query));
  if (verb === undefined) throw methodNotAllowed();
  return {
    kind: 'resource',
    verb,
    group: target.type.group,
    resource: target.type.plural,
    subresource: target.subresource ?? '',
    namespace: namespaceOf(target),
    name: target.name ?? nameInSelector(verb, target, query),
  };
}

/** A request for a Namespace object counts as one inside that namespace, so that its admins may read it. */
function namespaceOf(target: ResourceTarget): string {
  if (target.type.group === '' && target.type.plural === 'namespaces') return target.name ?? '';
  return target.namespace ?? '';
}

/** `list` with fieldSelector metadata.name is allowed to who may list that one name. */
function nameInSelector(verb: string, target: ResourceTarget, query: URLSearchParams): string {
  if (verb === 'create' || !query.has('fieldSelector')) return '';
  return selectedName(parseSelection(target.type, target.namespace, query)) ?? '';
}

function refusal(user: User, target: RequestTarget, attributes: Attributes): StatusError {
  const why = describe(user, attributes);
  if (target.kind === 'path') return new StatusError(403, 'Forbidden', `forbidden: ${why}`, {});
  return forbidden(target.type, target.name ?? '', why);
}

/** Puts each warning into a header of the response, once, up to a bound and only while headers can still be sent. */
function warningsTo(response: ServerResponse): (text: string) => void {
  const seen = new Set<string>();
  return (text) => {
    if (response.headersSent || seen.size >= WARNINGS_MAX || seen.has(text)) return;
    seen.add(text);
    response.setHeader('warning', warningHeaders([...seen].map(printable)));
  };
}

function warningHeaders(texts: readonly string[]): readonly string[] {
  const isLong = texts.reduce((sum, { length }) => sum + length, 0) > WARNINGS_LENGTH_MAX;
  let left = WARNINGS_LENGTH_MAX;
  return texts.flatMap((text) => {
    if (left <= 0) return [];
    const shown = isLong ? text.slice(0, WARNING_LENGTH_CUT) : text;
    left -= shown.length;
    return [`299 - "${shown.replace(/[\\"]/g, '\\$&')}"`];
  });
}

/** Header values hold no control characters and nothing beyond Latin-1. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, ' ');
}

function send(reply: FastifyReply, answer: Answer): void {
  switch (answer.kind) {
    case 'taken':
      reply.hijack();
      return;
    case 'json':
      void reply
        .code(answer.status)
        .header('content-type', 'application/json')
        .header('cache-control', 'no-cache, private')
        .serializer((text: string) => text)
        .send(JSON.stringify(answer.body));
      return;
    case 'text':
      // Clients that cache take over every header of a 304, so it must not get a content type or length of its own.
      if (answer.status === 304) {
        reply.hijack();
        reply.raw.writeHead(304, answer.headers).end();
        return;
      }
      void reply.code(answer.status).headers(answer.headers).send(answer.body);
  }
}

function sendError(reply: FastifyReply, error: StatusError): void {
  const retryAfter = error.details?.retryAfterSeconds;
  if (retryAfter !== undefined) void reply.header('retry-after', String(retryAfter));
  send(reply, { kind: 'json', status: error.code, body: error.toStatus() });
}
