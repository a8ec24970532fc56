// Run by `preflight.ts` inside throw-away namespaces: exits 0 if the kernel can do what the sandbox needs of nftables,
// otherwise says on standard error what is missing.
import {
  and,
  equals,
  FAMILY,
  isProtocol,
  META,
  meta,
  PROTOCOL,
  random,
  redirect,
  rejectWithReset,
  snat,
} from '#netlink/expressions.ts';
import { applyTables, HOOK, PRIORITY, removeTables, type Table } from '#netlink/nftables.ts';
import { nftablesRemedy } from '#netlink/refusal.ts';
import { Netlink } from '#netlink/socket.ts';

/** One of each kind that the redirect program and the Services use. */
const TABLE: Table = {
  family: FAMILY.inet,
  name: 'tulle-probe',
  chains: [
    { name: 'redirect', hook: { type: 'nat', number: HOOK.output, priority: PRIORITY.dnat } },
    { name: 'source', hook: { type: 'nat', number: HOOK.postrouting, priority: PRIORITY.snat } },
    { name: 'reject', hook: { type: 'filter', number: HOOK.output, priority: PRIORITY.filter } },
  ],
  sets: [{ name: 'ports', keyType: 13, keyBytes: 2, isInterval: true, elements: [] }],
  rules: [
    { chain: 'redirect', comment: 'redirect', expressions: [...isProtocol(PROTOCOL.tcp), ...redirect(1)] },
    { chain: 'source', comment: 'source', expressions: snat(FAMILY.ipv4, Buffer.of(10, 42, 0, 1)) },
    {
      chain: 'reject',
      comment: 'reject',
      expressions: [
        random(2),
        meta(META.mark),
        and(Buffer.from('01000000', 'hex')),
        equals(Buffer.alloc(4)),
        ...isProtocol(PROTOCOL.tcp),
        rejectWithReset(),
      ],
    },
  ],
};

try {
  using netfilter = new Netlink('netfilter');
  applyTables(netfilter, [TABLE]);
  removeTables(netfilter, [TABLE]);
} catch (error) {
  const reason = nftablesRemedy(error) ?? `nftables does not work here: ${String(error)}`;
  process.stderr.write(`${reason.split('\n')[0]}\n`);
  process.exitCode = 1;
}
