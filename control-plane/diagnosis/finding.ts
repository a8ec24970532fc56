/** Something that an object says and that has no effect. */
export type Finding = {
  readonly kind: string; // HTTPRoute
  readonly group: string; // empty for the core group
  readonly namespace: string;
  readonly name: string;
  readonly subject: string; // path of a field
  readonly message: string;
};

/** `httproute.policy.linkerd.io shop/web: spec.rules[0]: …`. */
export function formatFinding({ kind, group, namespace, name, subject, message }: Finding): string {
  const type = [kind.toLowerCase(), group].filter((part) => part !== '').join('.');
  return `${type} ${namespace}/${name}: ${subject}: ${message}`;
}
