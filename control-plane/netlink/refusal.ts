import { SystemCallError } from './libc.ts';
import { NetlinkError } from './socket.ts';

/**
 * One sentence for a person: why nftables cannot be programmed here, and the remedy.
 *
 * @param error  what `Netlink`, `applyTables` or `verifyTables` threw
 * @returns undefined if the error is not about the kernel or permissions, so probably a bug of ours
 */
export function nftablesRemedy(error: unknown): string | undefined {
  if (!(error instanceof NetlinkError) && !(error instanceof SystemCallError)) return undefined;
  switch (error.code) {
    case 'EPERM':
    case 'EACCES':
      return `not allowed to program nftables (${error.message}): give the container the capability NET_ADMIN`;
    case 'EAFNOSUPPORT':
    case 'EPROTONOSUPPORT':
    case 'ENOTSUP':
    case 'EOPNOTSUPP':
    case 'ENOENT':
      return (
        `the kernel cannot do NAT with nftables (${error.message}): load it on the node with ` +
        '`modprobe -a nf_tables nft_chain_nat nft_redir nft_nat nf_conntrack`, or use a kernel with ' +
        'CONFIG_NF_TABLES, CONFIG_NFT_NAT and CONFIG_NFT_REDIR (Linux 5.2 or newer)'
      );
    case 'EMSGSIZE':
    case 'ENOBUFS':
    case 'ENOMEM':
      return `the nftables program does not fit (${error.message}): raise net.core.wmem_max on the node to 4194304`;
    default:
      return undefined;
  }
}

/** Whether another layout of the same program may be accepted where this error came from. */
export function isUnsupported(error: unknown): boolean {
  return (
    error instanceof NetlinkError &&
    ['EAFNOSUPPORT', 'EPROTONOSUPPORT', 'ENOTSUP', 'EOPNOTSUPP', 'ENOENT'].includes(error.code)
  );
}
