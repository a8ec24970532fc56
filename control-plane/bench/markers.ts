import type { EndpointUpdate } from '#model/endpoint.ts';
import type { InboundServer } from '#model/inbound.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import { MARKER_MIN } from './changes.ts';

/** The marker in news of endpoints: the address of the one that came. */
export function endpointsMarker(update: EndpointUpdate | undefined): number | undefined {
  if (update?.kind !== 'add') return undefined;
  const found = update.endpoints.flatMap(({ address }) => {
    const [first, ...rest] = address.split('.').map(Number);
    return first === 100 ? [rest.reduce((sum, part) => sum * 256 + part, 0)] : [];
  });
  return found.length === 0 ? undefined : Math.max(...found);
}

/** The marker in an outbound policy: the timeout of a rule. */
export function outboundMarker({ protocol }: OutboundPolicy): number | undefined {
  const routes = protocol.kind === 'detect' ? protocol.routes : [];
  const timeouts = routes.flatMap(({ rules }) => rules.map((rule) => rule.timeouts.requestMs ?? 0));
  const marker = Math.max(0, ...timeouts);
  return marker >= MARKER_MIN ? marker : undefined;
}

/** The marker in an inbound policy: the number in the name of the client that it lets in. */
export function inboundMarker({ authorizations }: InboundServer): number | undefined {
  const names = authorizations.flatMap(({ authentication }) =>
    authentication.kind === 'identities' ? authentication.names : [],
  );
  const marker = Math.max(0, ...names.map((name) => Number(/^client-(\d+)\./.exec(name)?.[1] ?? 0)));
  return marker >= MARKER_MIN ? marker : undefined;
}
