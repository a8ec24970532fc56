/** Names the object that a policy, a route or a decision comes from. Source: linkerd2-proxy-api `meta.Metadata`. */
export type ResourceRef =
  | { readonly type: 'default'; readonly name: string } // something built in, such as `all-unauthenticated`
  | {
      readonly type: 'resource';
      readonly group: string; // API group; the core group is spelled `core`
      readonly kind: string;
      readonly name: string;
      readonly namespace?: string;
      readonly section?: string;
      readonly port?: number;
    };

/** For people: `default:all-unauthenticated`, `server.policy.linkerd.io shop/web`, `service shop/web:80`. */
export function formatResourceRef(ref: ResourceRef): string {
  if (ref.type === 'default') return `default:${ref.name}`;
  const kind = ref.group === 'core' || ref.group === '' ? ref.kind : `${ref.kind}.${ref.group}`;
  const name = ref.namespace === undefined ? ref.name : `${ref.namespace}/${ref.name}`;
  return `${kind.toLowerCase()} ${name}${ref.port === undefined ? '' : `:${ref.port}`}`;
}
