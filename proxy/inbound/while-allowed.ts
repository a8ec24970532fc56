import type { Watch } from '#runtime/watch.ts';

/**
 * Asks after each change of a policy whether it still lets in what is open. Source: linkerd2-proxy `app/inbound/src/policy/tcp.rs`.
 *
 * @param findDenial  why the policy of now does not; nothing while it does
 * @param onDenied    called at most once; nothing is asked after it
 * @returns dispose of it when what was open is over
 */
export function whileAllowed<D>(
  policy: Watch<unknown>,
  findDenial: () => D | undefined,
  onDenied: (denial: D) => void,
): Disposable {
  const changes = policy.subscribe(() => {
    const denial = findDenial();
    if (denial === undefined) return;
    changes[Symbol.dispose]();
    onDenied(denial);
  });
  return changes;
}
