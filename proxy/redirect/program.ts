import { existsSync } from 'node:fs';

import { applyTables, removeTables } from '#netlink/nftables.ts';
import {
  REDIRECT_LAYOUTS,
  redirectTables,
  TABLE_NAME,
  type RedirectLayout,
  type RedirectOptions,
} from '#netlink/redirect.ts';
import { isUnsupported } from '#netlink/refusal.ts';
import { Netlink } from '#netlink/socket.ts';
import { hasChains, verifyTables } from '#netlink/verify.ts';

/** The kernel accepted the program but holds another one: somebody else writes to our table. */
export class VerificationError extends Error {
  override readonly name = 'VerificationError';
}

/**
 * Puts the redirect program in force in the current network namespace and reads it back. Doing it again replaces the
 * program without a gap.
 *
 * @returns the layout that the kernel took
 * @throws NetlinkError, SystemCallError  see `nftablesRemedy`
 */
export function installRedirect(options: RedirectOptions): RedirectLayout {
  using netfilter = new Netlink('netfilter');
  const layout = applyFirstSupported(netfilter, options);
  const differences = verifyTables(netfilter, redirectTables(options, layout));
  if (differences.length > 0) {
    // Half a program would send some connections past the proxy.
    removeTables(netfilter, redirectTables(options, layout));
    throw new VerificationError(`the kernel does not hold the program that it accepted: ${differences.join('; ')}`);
  }
  return layout;
}

/** Whether the current network namespace has a redirect program. */
export function isRedirected(): boolean {
  using netfilter = new Netlink('netfilter');
  return [...new Set(Object.values(REDIRECT_LAYOUTS).flat())].some((family) =>
    hasChains(netfilter, { family, name: TABLE_NAME }),
  );
}

function applyFirstSupported(netfilter: Netlink, options: RedirectOptions): RedirectLayout {
  const hasIPv6 = existsSync('/proc/net/if_inet6');
  const layouts: readonly RedirectLayout[] = hasIPv6 ? ['inet', 'split'] : ['inet', 'ipv4'];
  let refusal: unknown;
  for (const layout of layouts) {
    try {
      applyTables(netfilter, redirectTables(options, layout));
      return layout;
    } catch (error) {
      if (!isUnsupported(error)) throw error;
      refusal = error;
    }
  }
  throw refusal;
}
