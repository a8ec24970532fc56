import { optionalText, UsageError, type Flags, type FlagValues } from '../../cli/command.ts';
import { kindOf, SERVICE_KIND, WORKLOAD_KINDS, type Kind } from '../../cli/workloads.ts';

/** The flags that name the other side of traffic. */
export const PEER_FLAGS = {
  to: { type: 'string', value: 'TYPE[/NAME]', help: 'only what is sent there' },
  'to-namespace': {
    type: 'string',
    value: 'NS',
    isName: true,
    help: 'namespace of --to; alone: all that is sent there',
  },
  from: { type: 'string', value: 'TYPE[/NAME]', help: 'only what comes from there' },
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
