import type { Cluster } from '../../cli/cluster.ts';
import { optionalText, UsageError, type Flags, type FlagValues } from '../../cli/command.ts';
import {
  kindOf,
  kindWords,
  NAMESPACE_KIND,
  refuseMissing,
  SERVICE_KIND,
  WORKLOAD_KINDS,
  type Kind,
} from '../../cli/workloads.ts';

/** Kinds that traffic can go to. */
export const PEER_WORDS = kindWords([...WORKLOAD_KINDS, SERVICE_KIND]);

/** The flags that name the other side of traffic. */
export const PEER_FLAGS = {
  to: { type: 'string', value: 'TYPE[/NAME]', words: PEER_WORDS.plain, help: 'only what is sent there' },
  'to-namespace': {
    type: 'string',
    value: 'NS',
    isName: true,
    help: 'namespace of --to; alone: all that is sent there',
  },
  from: { type: 'string', value: 'TYPE[/NAME]', words: kindWords().plain, help: 'only what comes from there' },
  'from-namespace': {
    type: 'string',
    value: 'NS',
    isName: true,
    help: 'namespace of --from; alone: all that comes from there',
  },
} as const satisfies Flags;

export type Target = { readonly kind: Kind; readonly name: string | undefined };

/**
 * `deploy`, `deploy/web` or `deploy web`.
 *
 * @throws UsageError  with the example
 */
export function readTarget(args: readonly string[], example: string, kinds: readonly Kind[] = WORKLOAD_KINDS): Target {
  const [target, plainName] = args;
  if (target === undefined || args.length > 2)
    throw new UsageError(`name a kind, for example \`${example}\` (--help shows more)`);
  const [type = '', slashName] = target.split('/', 2);
  const name = slashName ?? plainName;
  return { kind: kindOf(type, kinds), name: name === '' ? undefined : name };
}

/**
 * The peer of a query as the metrics API takes it.
 *
 * @param namespace  of the query: where a peer without a namespace of its own is
 * @throws UsageError
 */
export function peerQuery(
  flags: FlagValues,
  kind: Kind,
  namespace: string | undefined,
): Readonly<Record<string, string | undefined>> {
  const isGiven = (side: 'to' | 'from'): boolean =>
    optionalText(flags, side) !== undefined || optionalText(flags, `${side}-namespace`) !== undefined;
  if (isGiven('to') && isGiven('from')) throw new UsageError('--to and --from exclude each other');
  if (isGiven('to') && kind.name === 'service')
    throw new UsageError('a service sends nothing itself: use --to with a workload, or --from with the service');
  const side = isGiven('to') ? 'to' : isGiven('from') ? 'from' : undefined;
  if (side === undefined) return {};
  const text = optionalText(flags, side);
  const own = optionalText(flags, `${side}-namespace`);
  if (text === undefined) return { [`${side}Namespace`]: own };
  const kinds = side === 'to' ? [...WORKLOAD_KINDS, SERVICE_KIND] : WORKLOAD_KINDS;
  const [type = '', name] = text.split('/', 2);
  const peer = kindOf(type, kinds);
  return {
    [side]: name === undefined || name === '' ? peer.name : `${peer.name}/${name}`,
    [`${side}Namespace`]: peer.isNamespaced ? (own ?? namespace) : undefined,
  };
}

/**
 * Of a view that has nothing to show: whether all that was named exists.
 *
 * @param namespace  of the query; absent: all, or that of a kind without one
 * @param peer       as `peerQuery` made it
 * @throws CommandError  naming what does not
 */
export async function refuseUnknown(
  cluster: Cluster,
  { kind, name }: Target,
  namespace: string | undefined,
  peer: Readonly<Record<string, string | undefined>> = {},
): Promise<void> {
  if (namespace !== undefined) await refuseMissing(cluster, NAMESPACE_KIND, namespace, '');
  if (name !== undefined) await refuseMissing(cluster, kind, name, namespace ?? '');
  for (const side of ['to', 'from']) {
    const own = peer[`${side}Namespace`];
    if (own !== undefined) await refuseMissing(cluster, NAMESPACE_KIND, own, '');
    const [type = '', peerName] = (peer[side] ?? '').split('/', 2);
    const peerKind = [...WORKLOAD_KINDS, SERVICE_KIND].find((one) => one.name === type);
    if (peerKind === undefined || peerName === undefined) continue;
    if (own !== undefined || !peerKind.isNamespaced) await refuseMissing(cluster, peerKind, peerName, own ?? '');
  }
}
