import { nearest } from '#runtime/nearest.ts';
import { OPAQUE_PORTS } from './opaque-ports.ts';

/** Kinds of which annotations are read. */
type AnnotatedKind = 'Namespace' | 'Pod' | 'ExternalWorkload' | 'Service' | 'EgressNetwork' | 'HTTPRoute' | 'GRPCRoute';

const PODS: readonly AnnotatedKind[] = ['Namespace', 'Pod'];
const WORKLOADS: readonly AnnotatedKind[] = [...PODS, 'ExternalWorkload'];
const TARGETS: readonly AnnotatedKind[] = ['Service', 'EgressNetwork'];
const REQUESTS: readonly AnnotatedKind[] = [...TARGETS, 'HTTPRoute', 'GRPCRoute'];

const ACCRUAL = 'balancer.linkerd.io/failure-accrual';
const ALPHA = 'balancer.alpha.linkerd.io/failure-accrual';

/** Annotations that are read, and the kinds where each has an effect. Source: linkerd2, annotation list. */
export const KNOWN_ANNOTATIONS: ReadonlyMap<string, readonly AnnotatedKind[]> = new Map([
  ['timeout.linkerd.io/request', REQUESTS],
  ['timeout.linkerd.io/response', REQUESTS],
  ['timeout.linkerd.io/idle', REQUESTS],
  ['retry.linkerd.io/http', [...TARGETS, 'HTTPRoute']],
  ['retry.linkerd.io/grpc', [...TARGETS, 'GRPCRoute']],
  ['retry.linkerd.io/limit', REQUESTS],
  ['retry.linkerd.io/timeout', REQUESTS],
  [ACCRUAL, TARGETS],
  [`${ACCRUAL}-consecutive-max-failures`, TARGETS],
  [`${ACCRUAL}-consecutive-min-penalty`, TARGETS],
  [`${ACCRUAL}-consecutive-max-penalty`, TARGETS],
  [`${ACCRUAL}-consecutive-jitter-ratio`, TARGETS],
  [`${ALPHA}-success-rate-threshold`, TARGETS],
  [`${ALPHA}-window`, TARGETS],
  [`${ALPHA}-min-requests`, TARGETS],
  [OPAQUE_PORTS, [...WORKLOADS, ...TARGETS]],
  ['config.linkerd.io/default-inbound-policy', WORKLOADS],
  ['config.linkerd.io/proxy-require-identity-inbound-ports', WORKLOADS],
  ['linkerd.io/inject', PODS],
]);

/** Prefixes under which every name is a setting. Those of `config` are the injector's, and are read from pods. */
const SETTING = /^(?:retry|timeout|balancer|config)(?:\.alpha|\.beta)?\.linkerd\.io\//;
const OF_PODS = /^config(?:\.alpha|\.beta)?\.linkerd\.io\//;
/** Under which names may be mistyped. */
const OURS = /^(?:[a-z0-9-]+\.)*linkerd\.io\//;

/** Names that are looked at one by one: guessing what was meant takes time. */
const NAMES_MAX = 32;

/** Why an annotation has no effect where it is. */
export type AnnotationMistake = {
  readonly kind: 'unknown' | 'misplaced'; // there is none of that name, or it is read from other kinds
  readonly message: string;
};

/**
 * Judges the name of an annotation by where it is; nothing when it is read there, or is no setting of the mesh.
 *
 * @param kind  that has it; of what makes pods `Pod`
 */
export function annotationMistake(annotation: string, kind: string): AnnotationMistake | undefined {
  if (!isSuspect(annotation, kind)) return undefined;
  const kinds = KNOWN_ANNOTATIONS.get(annotation);
  if (kinds !== undefined) return misplaced(kind, kinds);
  const guess = guessOf(annotation, kind);
  if (guess !== undefined) return { kind: 'unknown', message: `is no known annotation: ${guess}` };
  if (OF_PODS.test(annotation)) return misplaced(kind, PODS);
  return SETTING.test(annotation)
    ? { kind: 'unknown', message: `is no known annotation${others(annotation)}` }
    : undefined;
}

/** Whether an annotation of the mesh is not read from a kind. What pods have under `config` the injector judges. */
function isSuspect(annotation: string, kind: string): boolean {
  const isOfInjector = OF_PODS.test(annotation) && PODS.some((one) => one === kind);
  return OURS.test(annotation) && !isOfInjector && !isReadFrom(annotation, kind);
}

/** Judges the names of all annotations of an object, as `annotationMistake`. */
export function annotationMistakes(
  annotations: Readonly<Record<string, string>>,
  kind: string,
): readonly (AnnotationMistake & { readonly annotation: string })[] {
  return Object.keys(annotations)
    .filter((annotation) => isSuspect(annotation, kind))
    .slice(0, NAMES_MAX)
    .flatMap((annotation) => {
      const mistake = annotationMistake(annotation, kind);
      return mistake === undefined ? [] : [{ ...mistake, annotation }];
    });
}

function misplaced(kind: string, kinds: readonly string[]): AnnotationMistake {
  return { kind: 'misplaced', message: `has no effect on ${article(kind)} ${kind}: ${placesOf(kinds)}` };
}

function placesOf(kinds: readonly string[]): string {
  const plurals = kinds.map((kind) => `${kind}s`);
  return `it has one on ${[plurals.slice(0, -1).join(', '), ...plurals.slice(-1)].filter((part) => part !== '').join(' and ')}`;
}

function article(kind: string): string {
  return /^(?:[AEIO]|HTTP)/.test(kind) ? 'an' : 'a';
}

/** What was probably meant: what has an effect on the kind before what has one elsewhere. */
function guessOf(annotation: string, kind: string): string | undefined {
  const all = [...KNOWN_ANNOTATIONS.keys()];
  const own = nearest(
    annotation,
    all.filter((name) => isReadFrom(name, kind)),
  );
  if (own !== undefined) return `did you mean ${own}?`;
  const other = nearest(annotation, all);
  if (other === undefined) return undefined;
  const kinds = KNOWN_ANNOTATIONS.get(other) ?? [];
  return `${other}, if that is meant, has no effect on ${article(kind)} ${kind} either: ${placesOf(kinds)}`;
}

function others(annotation: string): string {
  const prefix = annotation.slice(0, annotation.indexOf('/') + 1);
  const names = [...KNOWN_ANNOTATIONS.keys()].filter((name) => name.startsWith(prefix));
  return names.length === 0 ? '' : `: ${prefix} has ${names.map((name) => name.slice(prefix.length)).join(', ')}`;
}

/** Whether an annotation is read from a kind. */
export function isReadFrom(annotation: string, kind: string): boolean {
  const kinds: readonly string[] = KNOWN_ANNOTATIONS.get(annotation) ?? [];
  return kinds.includes(kind);
}
