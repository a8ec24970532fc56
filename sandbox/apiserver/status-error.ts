/** Which resource an error is about. `resource` is the plural name, `kind` the kind; `group` '' is the core group. */
export type ResourceName = { readonly group: string; readonly plural: string; readonly kind: string };

/** Source: meta.k8s.io/v1 `StatusCause`. `field` is a path such as `spec.ports[0].port`. */
export type StatusCause = { reason: string; message: string; field?: string };

/** Source: meta.k8s.io/v1 `StatusDetails`. */
export type StatusDetails = {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: readonly StatusCause[];
  retryAfterSeconds?: number;
};

/** Source: meta.k8s.io/v1 `Status`. */
export type Status = {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: Record<string, unknown>;
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: StatusDetails;
  code?: number;
};

/** A refusal by the API server; `toStatus()` is what the client sees. Wordings are those of kube-apiserver. */
export class StatusError extends Error {
  override readonly name = 'StatusError';
  /** HTTP status code. */
  readonly code: number;
  /** Machine-readable reason such as `NotFound`. */
  readonly reason: string;
  readonly details: StatusDetails | undefined;

  constructor(code: number, reason: string, message: string, details?: StatusDetails, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  toStatus(): Status {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }
}

/** `deployments.apps`, or `pods` in the core group. */
export function qualifiedResource(resource: ResourceName): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
}

/** `Deployment.apps`, or `Pod` in the core group. */
export function qualifiedKind(resource: ResourceName): string {
  return resource.group === '' ? resource.kind : `${resource.kind}.${resource.group}`;
}

function about(resource: ResourceName, name: string, kind: string): StatusDetails {
  return { name, ...(resource.group === '' ? {} : { group: resource.group }), kind };
}

export function notFound(resource: ResourceName, name: string): StatusError {
  const message = `${qualifiedResource(resource)} "${name}" not found`;
  return new StatusError(404, 'NotFound', message, about(resource, name, resource.plural));
}

/** The path names no resource of a known group. */
export function unknownResource(): StatusError {
  return new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});
}

export function alreadyExists(resource: ResourceName, name: string): StatusError {
  const message = `${qualifiedResource(resource)} "${name}" already exists`;
  return new StatusError(409, 'AlreadyExists', message, about(resource, name, resource.plural));
}

export function conflict(resource: ResourceName, name: string, why: string): StatusError {
  const message = `Operation cannot be fulfilled on ${qualifiedResource(resource)} "${name}": ${why}`;
  return new StatusError(409, 'Conflict', message, about(resource, name, resource.plural));
}

/** The resourceVersion the client had is not the current one. */
export function staleVersion(resource: ResourceName, name: string): StatusError {
  return conflict(
    resource,
    name,
    'the object has been modified; please apply your changes to the latest version and try again',
  );
}

/** Server-side apply met fields of other managers. Causes have reason `FieldManagerConflict` and a field like `.data.a`. */
export function applyConflict(causes: readonly StatusCause[]): StatusError {
  const count = causes.length === 1 ? '1 conflict' : `${causes.length} conflicts`;
  const list = causes.map((cause) => `${cause.message}: ${cause.field ?? ''}`);
  const text = list.length === 1 ? ` ${list[0]}` : `\n${list.map((line) => `- ${line}`).join('\n')}`;
  return new StatusError(409, 'Conflict', `Apply failed with ${count}:${text}`, { causes });
}

/** The object fails validation. Each cause has a reason such as `FieldValueRequired` and the path of the field. */
export function invalid(resource: ResourceName, name: string, causes: readonly StatusCause[]): StatusError {
  const lines = causes.map((cause) => (cause.field === undefined ? cause.message : `${cause.field}: ${cause.message}`));
  const text = lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`;
  const message = `${qualifiedKind(resource)} "${name}" is invalid: ${text}`;
  return new StatusError(422, 'Invalid', message, { ...about(resource, name, resource.kind), causes });
}

/** A JSON patch could not be applied (a failed test, a missing path). */
export function patchRejected(cause?: unknown): StatusError {
  const message = 'the server rejected our request due to an error in our request';
  return new StatusError(422, 'Invalid', message, {}, { cause });
}

export function badRequest(message: string, cause?: unknown): StatusError {
  return new StatusError(400, 'BadRequest', message, undefined, { cause });
}

export function forbidden(
  resource: ResourceName,
  name: string,
  why: string,
  causes?: readonly StatusCause[],
): StatusError {
  const subject = name === '' ? qualifiedResource(resource) : `${qualifiedResource(resource)} "${name}"`;
  return new StatusError(403, 'Forbidden', `${subject} is forbidden: ${why}`, {
    ...about(resource, name, resource.plural),
    ...(causes === undefined ? {} : { causes }),
  });
}

export function unauthorized(): StatusError {
  return new StatusError(401, 'Unauthorized', 'Unauthorized');
}

export function methodNotAllowed(why?: string): StatusError {
  const message = why ?? 'the server does not allow this method on the requested resource';
  return new StatusError(405, 'MethodNotAllowed', message, {});
}

export function notImplemented(what: string): StatusError {
  return new StatusError(501, 'NotImplemented', `${what} is not implemented by the sandbox API server`);
}

export function notAcceptable(accepted: readonly string[]): StatusError {
  const message = `only the following media types are accepted: ${accepted.join(', ')}`;
  return new StatusError(406, 'NotAcceptable', message);
}

export function unsupportedMediaType(got: string, accepted: readonly string[]): StatusError {
  const message = `the body of the request was in an unknown format (${got || 'no content type'}) - accepted media types include: ${accepted.join(', ')}`;
  return new StatusError(415, 'UnsupportedMediaType', message, {});
}

export function tooLarge(limitBytes: number): StatusError {
  const message = `Request entity too large: limit is ${limitBytes}`;
  return new StatusError(413, 'RequestEntityTooLarge', message);
}

/** Events or pages older than what the server still knows were asked for. */
export function expired(message: string): StatusError {
  return new StatusError(410, 'Expired', message);
}

/** The client asked for a state this server has not reached. Versions are resourceVersions. */
export function versionTooLarge(asked: string, current: string): StatusError {
  return new StatusError(504, 'Timeout', `Timeout: Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}

export function tooManyRequests(
  message: string,
  retryAfterSeconds: number,
  causes?: readonly StatusCause[],
): StatusError {
  return new StatusError(429, 'TooManyRequests', message, {
    retryAfterSeconds,
    ...(causes === undefined ? {} : { causes }),
  });
}

export function internalError(message: string, cause?: unknown): StatusError {
  const text = `Internal error occurred: ${message}`;
  return new StatusError(500, 'InternalError', text, { causes: [{ reason: '', message }] }, { cause });
}

/** Any thrown value as the Status a client may see; what is not a StatusError is our fault and says so. */
export function asStatusError(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  return internalError(error instanceof Error ? error.message : String(error), error);
}
