import { formatSocketAddress, parseAddress, type IpAddress } from '#model/address.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import type { Profile } from '#model/profile.ts';
import { parseHostPort } from '#model/service-target.ts';
import { splitService } from '../../control-plane/dialects/smi.ts';
import type { Subject } from '../../control-plane/diagnosis/diagnosis.ts';
import type { Inventory } from '../../control-plane/findings/inventory.ts';
import { otherParents } from '../../control-plane/findings/rules/mistaken-parents.ts';
import { outboundOf, outboundOfAddress, profileOf } from '../../control-plane/findings/outbound.ts';
import { CommandError, UsageError } from '../command.ts';
import { missingPort } from './no-endpoints.ts';

/** What somebody asks about: a port of a Service, or an address that connections go to. */
export type AskedTarget =
  | { readonly kind: 'service'; readonly name: string; readonly port: number | undefined }
  | { readonly kind: 'address'; readonly ip: string; readonly address: IpAddress; readonly port: number };

/** What clients of a namespace are told about it. */
export type ExplainedTarget = {
  readonly title: string;
  readonly json: object; // under which its answer is found
  readonly host: string; // of a request that names none
  readonly policy: OutboundPolicy | undefined;
  readonly profile: Profile;
  /** Objects that are about it. */
  readonly subjects: readonly Subject[];
};

/** Reads `svc/NAME[:PORT]` or `ADDRESS:PORT`. @throws UsageError */
export function parseTarget(args: readonly string[]): AskedTarget {
  const [target = '', extra] = args;
  const [, name, port] = /^(?:svc|service|services)\/([a-z0-9][-a-z0-9]*)(?::(\d{1,5}))?$/.exec(target) ?? [];
  if (extra === undefined && name !== undefined) {
    return { kind: 'service', name, port: port === undefined ? undefined : Number(port) };
  }
  const at = /:\d+$/.test(target) ? parseHostPort(target) : undefined;
  const address = at && parseAddress(at.host);
  if (extra === undefined && at !== undefined && address !== undefined)
    return { kind: 'address', ip: at.host, address, port: at.port };
  throw new UsageError('name one Service as svc/NAME or svc/NAME:PORT, or an address as IP:PORT');
}

/** @throws CommandError  when there is no such Service or port */
export function explainTarget(
  inventory: Inventory,
  asked: AskedTarget,
  namespace: string,
  client: string,
): ExplainedTarget {
  return asked.kind === 'service'
    ? ofService(inventory, asked.name, asked.port, namespace, client)
    : ofAddress(inventory, asked, client);
}

function ofService(
  inventory: Inventory,
  name: string,
  wanted: number | undefined,
  namespace: string,
  client: string,
): ExplainedTarget {
  const { services, routes, traffic, context } = inventory;
  const service = services.get(namespace, name);
  if (service === undefined) throw new CommandError(`there is no Service "${name}" in namespace ${namespace}`);
  const port = wanted ?? service.ports[0]?.port ?? 0;
  const problem = missingPort(service, port);
  if (problem !== undefined) throw new CommandError(problem);
  const isSplit = (split: Subject & Parameters<typeof splitService>[0]): boolean =>
    split.namespace === namespace && splitService(split) === name;
  // Clients connect to the addresses that they look up, and to those of pods nothing of the Service applies.
  const known = service.isHeadless
    ? { policy: undefined, profile: { isOpaque: false } }
    : {
        policy: outboundOf(inventory, namespace, name, port, client),
        profile: profileOf(inventory, namespace, name, port, client),
      };
  const how = service.isHeadless
    ? ' (headless: clients connect to its pods themselves, and no route, profile or annotation of it applies)'
    : '';
  return {
    title: `Service ${namespace}/${name}, port ${port}${how}`,
    json: { service: { namespace, name, port } },
    host: `${name}.${namespace}`,
    ...known,
    subjects: [
      ...routes.ofParent({ kind: 'Service', namespace, name }),
      // Routes that may mean it, and do not say so.
      ...inventory.custom.filter((route) =>
        otherParents(route).some((parent) => parent.namespace === namespace && parent.name === name),
      ),
      ...[...traffic.splits.values()].filter(isSplit),
      ...[...traffic.profiles.values()].filter(
        (one) => one.name === `${name}.${namespace}.svc.${context.clusterDomain}`,
      ),
      { group: '', kind: 'Service', namespace, name },
    ],
  };
}

function ofAddress(
  inventory: Inventory,
  { ip, address, port }: Extract<AskedTarget, { readonly kind: 'address' }>,
  client: string,
): ExplainedTarget {
  const { egress, routes } = inventory;
  const policy = outboundOfAddress(inventory, address, port, client);
  const networks = egress
    .namespacesFor(client)
    .flatMap((namespace) => [...egress.store.values()].filter((network) => network.namespace === namespace));
  return {
    title: formatSocketAddress(ip, port),
    json: { address: ip, port },
    host: ip,
    policy,
    profile: { isOpaque: policy?.protocol.kind === 'opaque' },
    subjects: [
      ...networks,
      ...networks.flatMap(({ namespace, name }) => [...routes.ofParent({ kind: 'EgressNetwork', namespace, name })]),
    ],
  };
}
