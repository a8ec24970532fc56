import { parseArgs } from 'node:util';

import { exemption } from '#netlink/exemption.ts';
import { parsePortRanges, type PortRange } from '#netlink/port-ranges.ts';
import type { RedirectOptions } from '#netlink/redirect.ts';
import { parseSubnets, type Subnet } from '#netlink/subnet.ts';

/** The command line cannot be used. The text has every problem, separated by `; `. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const UID_MAX = 0xffff_fffe; // 2^32 - 1 means "no user"

/**
 * Names are those of Linkerd's proxy-init, and so are the defaults. Ports and user have none: started by hand on a
 * machine, without a word, this would take all of the machine's connections away.
 */
const FLAGS = {
  'incoming-proxy-port': { type: 'string', default: '' },
  'outgoing-proxy-port': { type: 'string', default: '' },
  'proxy-uid': { type: 'string', default: '' },
  'inbound-ports-to-ignore': { type: 'string', default: '4190,4191,4567,4568' },
  'outbound-ports-to-ignore': { type: 'string', default: '4567,4568' },
  'subnets-to-ignore': { type: 'string', default: '' },
} as const;
type Flag = keyof typeof FLAGS;
const MANDATORY: ReadonlySet<Flag> = new Set(['incoming-proxy-port', 'outgoing-proxy-port', 'proxy-uid']);

/**
 * Reads the flags of `proxy-init`, and of `await-redirect`, whose flags the node's agent reads.
 *
 * @param args    the arguments after the name of the process
 * @param uidMap  contents of /proc/<pid>/uid_map of the pod; absent: of this process
 * @throws UsageError  with all problems at once
 */
export function parseOptions(args: readonly string[], uidMap?: string): RedirectOptions {
  const values = parseFlags(args);
  const problems: string[] = [];
  const read = <T>(flag: Flag, parse: (text: string) => T, otherwise: T): T => {
    try {
      if (values[flag] === '' && MANDATORY.has(flag)) throw new UsageError('is missing');
      return parse(values[flag]);
    } catch (error) {
      problems.push(`--${flag}: ${error instanceof Error ? error.message : String(error)}`);
      return otherwise;
    }
  };
  const ports = (flag: Flag): PortRange[] => read(flag, parsePortRanges, []);

  const inboundPort = read('incoming-proxy-port', parsePort, 0);
  const outboundPort = read('outgoing-proxy-port', parsePort, 0);
  const uid = read('proxy-uid', parseUid, 0);
  const inboundSkip = ports('inbound-ports-to-ignore');
  const outboundSkip = ports('outbound-ports-to-ignore');
  const subnetSkip = read<Subnet[]>('subnets-to-ignore', parseSubnets, []);
  if (problems.length === 0 && inboundPort === outboundPort) {
    problems.push(`--incoming-proxy-port and --outgoing-proxy-port are both ${inboundPort}`);
  }
  if (problems.length > 0) throw new UsageError(problems.join('; '));
  // Not syn-only: in an init container there are no connections yet that could be disturbed.
  const isSynOnly = false;
  return {
    inboundPort,
    outboundPort,
    exemption: exemption(uid, uidMap),
    inboundSkip,
    outboundSkip,
    subnetSkip,
    isSynOnly,
  };
}

function parseFlags(args: readonly string[]): Record<Flag, string> {
  try {
    return parseArgs({ args: [...args], options: FLAGS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    const known = Object.keys(FLAGS).map((flag) => `--${flag}`);
    const reason = error instanceof Error ? error.message.split('. To specify')[0] : String(error);
    throw new UsageError(`${reason}; flags are ${known.join(' ')}`, { cause: error });
  }
}

function parsePort(text: string): number {
  const [range, ...more] = parsePortRanges(text);
  if (range === undefined || more.length > 0 || range.first !== range.last) throw new UsageError('one port is needed');
  return range.first;
}

function parseUid(text: string): number {
  const uid = /^\d{1,10}$/.test(text) ? Number(text) : -1;
  if (uid < 0 || uid > UID_MAX) throw new UsageError(`"${text}" is not a user id (0 to ${UID_MAX})`);
  // The application often runs as root: its connections would bypass the mesh without a word.
  if (uid === 0) throw new UsageError('the proxy cannot run as user 0, which the application may use too');
  return uid;
}
