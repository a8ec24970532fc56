import { evaluateOutbound } from '#model/evaluate.ts';
import type { GrpcMatch, HostMatch, HttpMatch, RequestHead } from '#model/match.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import { Patterns } from '#runtime/pattern.ts';
import { isConnectionRoute } from '../../dialects/route-kinds.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';
import type { Configuration } from '../configuration.ts';
import { targetsOf } from '../targets.ts';

/** What no rule names, so that only a rule for more than that can match it. */
export const FRESH = 'tulle-probe-8c1f';
const PATTERNS_MAX = 256;

type Place = { readonly ref: Extract<ResourceRef, { readonly type: 'resource' }>; readonly index: number };

/**
 * Rules that decide about no request, since for each that they match another rule is as specific and comes first, or is more specific.
 * Each match is tried with requests that have what it asks for and nothing else that a rule names; where it asks by a regular
 * expression there is no such request, and nothing is said.
 */
export function* shadowedRules(configuration: Configuration): Generator<Diagnosis | undefined> {
  const found = new Map<string, Diagnosis>();
  const alive = new Set<string>();
  const patterns = new Patterns(PATTERNS_MAX);
  for (const { policy } of targetsOf(configuration, (route) => !isConnectionRoute(route))) {
    for (const { place, probes } of probesOf(policy, patterns)) {
      const key = JSON.stringify(place);
      const winners = probes.map((probe) => winnerOf(policy, probe));
      const isShadowed =
        probes.length > 0 && winners.every((winner) => winner !== undefined && JSON.stringify(winner) !== key);
      const [winner] = winners;
      if (!isShadowed || winner === undefined) alive.add(key);
      else {
        const by = `rule ${winner.index} of ${winner.ref.kind} ${winner.ref.namespace}/${winner.ref.name}`;
        const about = { ...place.ref, namespace: place.ref.namespace ?? '' };
        found.set(
          key,
          diagnose('TL0105', about, `spec.rules[${place.index}]`, `${by} decides about all that it matches`),
        );
      }
    }
    yield undefined;
  }
  for (const [key, diagnosis] of found) if (!alive.has(key)) yield diagnosis;
}

function winnerOf(policy: OutboundPolicy, request: RequestHead): Place | undefined {
  const verdict = evaluateOutbound({ policy }, request);
  const { ref, rule } = verdict.kind === 'routed' && verdict.decider !== undefined ? verdict.decider : {};
  return ref?.type === 'resource' && rule !== undefined ? { ref, index: rule } : undefined;
}

/** Every rule of a policy with requests that it matches; none where no such request can be made up. */
function probesOf(
  { protocol }: OutboundPolicy,
  patterns: Patterns,
): readonly { readonly place: Place; readonly probes: readonly RequestHead[] }[] {
  if (!('routes' in protocol) || protocol.kind === 'tls') return [];
  const byRule = new Map<string, { place: Place; probes: RequestHead[]; isKnown: boolean }>();
  const isGrpc = protocol.kind === 'grpc';
  for (const { ref, hosts, rules } of protocol.routes) {
    for (const { index, matches } of rules) {
      if (ref.type !== 'resource' || index === undefined) continue;
      const place = { ref, index };
      const key = JSON.stringify(place);
      const rule = byRule.get(key) ?? { place, probes: [], isKnown: true };
      byRule.set(key, rule);
      for (const match of matches) {
        const probes = isGrpc ? grpcProbes(match, hosts, patterns) : httpProbes(match as HttpMatch, hosts, patterns);
        if (probes === undefined) rule.isKnown = false;
        else rule.probes.push(...probes);
      }
    }
  }
  return [...byRule.values()].map(({ place, probes, isKnown }) => ({ place, probes: isKnown ? probes : [] }));
}

function httpProbes(
  match: HttpMatch,
  hosts: readonly HostMatch[],
  patterns: Patterns,
): readonly RequestHead[] | undefined {
  const { path, queryParams, method = FRESH } = match;
  if (path?.kind === 'regex' || queryParams.some(({ value }) => value.kind === 'regex')) return undefined;
  const value = path?.value ?? '/';
  const paths = path?.kind === 'exact' ? [value] : [value, `${value.replace(/\/$/, '')}/${FRESH}`];
  const query = new URLSearchParams(
    queryParams.flatMap((one) => (one.value.kind === 'exact' ? [[one.name, one.value.value]] : [])),
  ).toString();
  return requests(match.headers, hosts, paths, { method, query }, patterns);
}

function grpcProbes(
  match: GrpcMatch,
  hosts: readonly HostMatch[],
  patterns: Patterns,
): readonly RequestHead[] | undefined {
  const path = `/${match.service ?? FRESH}/${match.method ?? FRESH}`;
  return requests(match.headers, hosts, [path], { method: 'POST', query: '' }, patterns);
}

function requests(
  headers: HttpMatch['headers'],
  hosts: readonly HostMatch[],
  paths: readonly string[],
  rest: Pick<RequestHead, 'method' | 'query'>,
  patterns: Patterns,
): readonly RequestHead[] | undefined {
  if (headers.some(({ value }) => value.kind === 'regex')) return undefined;
  const fields = new Map(
    headers.flatMap(({ name, value }) => (value.kind === 'exact' ? [[name, value.value] as const] : [])),
  );
  const names = hosts.length === 0 ? [FRESH] : hosts.map(nameOf);
  return names.flatMap((host) =>
    paths.map((path) => ({
      ...rest,
      path,
      host,
      header: (name) => fields.get(name),
      matchesPattern: patterns.matches,
    })),
  );
}

/** A host that a match holds. */
export function nameOf(match: HostMatch): string {
  return match.kind === 'exact' ? match.host : [...match.reverseLabels, FRESH].toReversed().join('.');
}
