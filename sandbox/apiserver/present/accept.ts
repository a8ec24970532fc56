import { notAcceptable } from '../status-error.ts';

/** The form in which objects go back to the client; all of them are JSON. */
export type Representation =
  | { readonly kind: 'json' }
  | { readonly kind: 'table'; readonly version: 'v1' | 'v1beta1' }
  | { readonly kind: 'metadata'; readonly version: 'v1' | 'v1beta1' };

/** One clause of an Accept header: media type in lower case, its parameters, and weight 0..1. */
export type AcceptClause = {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly weight: number;
};

const CLAUSES_MAX = 32; // real clients send at most four

/** Clauses by falling weight, in the order sent where weights are equal. Source: RFC 9110 section 12.5.1. */
export function parseAccept(accept: string | undefined): readonly AcceptClause[] {
  const text = accept?.trim() ?? '';
  const clauses = (text === '' ? '*/*' : text).split(',').slice(0, CLAUSES_MAX).map(parseClause);
  return clauses.filter((clause) => clause.weight > 0).sort((a, b) => b.weight - a.weight);
}

function parseClause(text: string): AcceptClause {
  const [type = '', ...rest] = text.split(';').map((part) => part.trim());
  const parameters = new Map<string, string>();
  for (const parameter of rest) {
    const [name = '', value = ''] = parameter.split('=', 2).map((part) => part.trim());
    parameters.set(name.toLowerCase(), value.replace(/^"(.*)"$/, '$1'));
  }
  const weight = Number(parameters.get('q') ?? '1');
  parameters.delete('q');
  return { type: type.toLowerCase(), parameters, weight: Number.isNaN(weight) ? 0 : Math.min(1, weight) };
}

export function acceptsJson(type: string): boolean {
  return type === 'application/json' || type === 'application/*' || type === '*/*';
}

/**
 * The first form the client accepts that the server can produce. Clauses for protobuf, CBOR or unknown transformations are
 * passed over; throws 406 when nothing is left.
 */
export function negotiate(accept: string | undefined): Representation {
  for (const clause of parseAccept(accept)) {
    const found = acceptsJson(clause.type) ? representation(clause.parameters) : undefined;
    if (found !== undefined) return found;
  }
  throw notAcceptable(['application/json']);
}

function representation(parameters: ReadonlyMap<string, string>): Representation | undefined {
  const as = parameters.get('as');
  if (as === undefined) return { kind: 'json' };
  const version = parameters.get('v');
  if (parameters.get('g') !== 'meta.k8s.io' || (version !== 'v1' && version !== 'v1beta1')) return undefined;
  if (as === 'Table') return { kind: 'table', version };
  if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') return { kind: 'metadata', version };
  return undefined;
}
