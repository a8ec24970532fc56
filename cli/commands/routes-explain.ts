import {
  evaluateConnection,
  evaluateOutbound,
  targetShares,
  type OutboundKnowledge,
  type OutboundVerdict,
} from '#model/evaluate.ts';
import { decidesRoutes, type Profile, type WeightedTarget } from '#model/profile.ts';
import { formatResourceRef } from '#model/resource-ref.ts';
import type { JsonObject } from '#k8s/json.ts';
import { analyze } from '../../control-plane/findings/analyze.ts';
import { CODES } from '../../control-plane/diagnosis/codes.ts';
import { formatDiagnosis, type Diagnosis, type Subject } from '../../control-plane/diagnosis/diagnosis.ts';
import { Inventory } from '../../control-plane/findings/inventory.ts';
import { absenceOfTarget } from '../../control-plane/policy/traffic-objects.ts';
import { clusterObjects } from '../analyze/cluster-objects.ts';
import { connect } from '../cluster.ts';
import { CLUSTER_FLAGS, optionalText, textFlag, UsageError, type Command } from '../command.ts';
import {
  describedRequest,
  formatRequest,
  isRequestDescribed,
  REQUEST_FLAGS,
} from '../diagnostics/described-request.ts';
import {
  describeDecider,
  describeRetry,
  describeSession,
  describeShares,
  describeTimeouts,
  describeUnrouted,
} from '../diagnostics/describe.ts';
import { explainTarget, parseTarget } from '../diagnostics/explained-target.ts';
import { outboundTables, profileRoutesTable } from '../diagnostics/policy-tables.ts';
import { installedValues } from '../installed-values.ts';
import { refuseUnknownNamespace } from '../namespaces.ts';
import { contextOf } from './analyze.ts';

export const routesExplain: Command = {
  path: ['routes', 'explain'],
  args: 'svc/NAME[:PORT]|IP:PORT',
  words: ['svc/'],
  summary: 'Say which object decides where requests to a Service or an address go, and what is ignored and why.',
  details:
    'Objects are read from the cluster, and a request that is described by --method, --path, --header and --authority, or a connection that\n' +
    'is described by --server-name, is routed by the code with which the proxy routes it. Routes of the namespace of the client may\n' +
    'differ, and so may EgressNetworks for addresses outside of the cluster: name it with --from.',
  flags: {
    ...CLUSTER_FLAGS,
    namespace: { type: 'string', short: 'n', value: 'NS', isName: true, help: 'namespace of the Service' },
    from: { type: 'string', value: 'NS', isName: true, help: 'namespace of the client (default: that of the Service)' },
    ...REQUEST_FLAGS,
    'server-name': { type: 'string', value: 'NAME', help: 'server name (SNI) that a client of TLS shows' },
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      default: 'text',
      choices: ['text', 'json'],
      help: 'output format',
    },
  },
  examples: [
    'tulle routes explain -n shop svc/web',
    'tulle routes explain -n shop svc/web:80 --method GET --path /api/items -H x-user:anna',
    'tulle routes explain -n shop svc/web --from client --path / -o json',
    'tulle routes explain --from shop 203.0.113.7:443 --server-name api.example.com',
  ],
  run: async ({ flags, args, terminal }) => {
    const asked = parseTarget(args);
    describedRequest(flags, ''); // wrong flags are refused before anything is asked
    const serverName = optionalText(flags, 'server-name')?.toLowerCase();
    const isAsked = isRequestDescribed(flags);
    if (isAsked && serverName !== undefined)
      throw new UsageError(
        '--server-name is about a connection whose requests nobody sees: give either it or a request',
      );
    const cluster = await connect(flags);
    try {
      const client = optionalText(flags, 'from');
      const namespace = optionalText(flags, 'namespace') ?? (asked.kind === 'address' ? client : undefined);
      const own = namespace ?? cluster.defaultNamespace;
      const { values } = await installedValues(cluster, textFlag(flags, 'tulle-namespace'));
      const objects = await clusterObjects(cluster);
      if (client !== undefined) refuseUnknownNamespace('--from', client, objects);
      const inventory = new Inventory(objects, contextOf(values, own, true));
      const from = client ?? own;
      const { title, json, host, policy, profile, subjects } = explainTarget(inventory, asked, own, from);
      const request = describedRequest(flags, host);
      const { services, context } = inventory;
      const absenceOf = (target: WeightedTarget): string | undefined =>
        absenceOfTarget(target, services, context.clusterDomain);
      const known = { profile, absenceOf, ...(policy && { policy }) };
      const verdict =
        serverName !== undefined
          ? evaluateConnection(known, serverName)
          : isAsked
            ? evaluateOutbound(known, request)
            : undefined;
      const ignored = findingsAbout(inventory, objects, subjects);
      if (flags['output'] === 'json') {
        terminal.out(`${JSON.stringify({ ...json, client: from, profile, policy, verdict, ignored }, undefined, 2)}\n`);
        return 0;
      }
      const routes = decidesRoutes(profile)
        ? profileText(profile, known)
        : policy === undefined
          ? 'No policy: connections go where they were meant to.\n'
          : outboundTables(policy);
      terminal.out(`Requests of clients in ${from} to ${title}\n${routes}`);
      const isConnection = serverName !== undefined || policy?.protocol.kind === 'tls';
      const isGrpc =
        policy?.protocol.kind === 'grpc' || /^application\/grpc/i.test(request.header('content-type') ?? '');
      const what = isConnection ? 'connection' : isGrpc ? 'grpc' : 'request';
      const described = serverName === undefined ? formatRequest(request) : `TLS to ${serverName}`;
      if (verdict !== undefined) terminal.out(`\n${verdictText(verdict, described, what)}`);
      terminal.out(
        ignored.length === 0
          ? '\nNothing is ignored.\n'
          : `\nIgnored or without effect:\n${ignored.map(ignoredText).join('')}`,
      );
      return 0;
    } finally {
      cluster.close();
    }
  },
};

function findingsAbout(
  { context }: Inventory,
  objects: readonly JsonObject[],
  subjects: readonly Subject[],
): readonly Diagnosis[] {
  const isAbout = (one: Diagnosis): boolean =>
    subjects.some(
      ({ group, kind, namespace, name }) =>
        group === one.group && kind === one.kind && namespace === one.namespace && name === one.name,
    );
  // What the API server holds it has accepted: schemas say nothing more.
  return analyze(objects, context, []).filter((one) => one.code !== 'TL0002' && isAbout(one));
}

function profileText(profile: Profile, known: OutboundKnowledge): string {
  const { ref, routes = [], targets } = profile;
  const shares = targets === undefined ? 'the Service itself' : describeShares(targetShares(profile, known));
  const decider = ref === undefined ? 'a profile' : formatResourceRef(ref);
  return `Decider:   ${decider}\nTargets:   ${shares}\n${profileRoutesTable(routes)}`;
}

/** @param described  request or connection */
function verdictText(
  verdict: OutboundVerdict,
  described: string,
  what: Parameters<typeof describeUnrouted>[0],
): string {
  if (verdict.kind === 'no-route') return `${described}\n  ${describeUnrouted(what)} by the proxy: ${verdict.reason}\n`;
  const { decider, filters, shares, timeouts, retry, session } = verdict;
  const answer = answerOf(filters);
  return [
    described,
    `  decided by:  ${decider === undefined ? 'nothing, it goes where it was meant to' : describeDecider(decider)}`,
    ...(answer === undefined ? [] : [`  answer:      ${answer}`]),
    `  filters:     ${filters.map(({ kind }) => kind).join(', ') || '-'}`,
    `  backends:    ${answer === undefined ? describeShares(shares) : 'none'}`,
    `  timeouts:    ${describeTimeouts(timeouts)}`,
    `  retries:     ${describeRetry(retry)}`,
    `  session:     ${describeSession(session)}`,
    '',
  ].join('\n');
}

/** What the proxy itself does instead of passing everything on. */
function answerOf(filters: Extract<OutboundVerdict, { readonly kind: 'routed' }>['filters']): string | undefined {
  for (const filter of filters) {
    if (filter.kind === 'forbidden') return 'the connection is reset, it is forbidden';
    if (filter.kind === 'invalid') return `the connection is reset: ${filter.message}`;
    if (filter.kind !== 'failure' || filter.ratio !== undefined) continue;
    return `${'status' in filter ? filter.status : `status ${filter.code} of gRPC`} by the proxy: ${filter.message}`;
  }
  return undefined;
}

function ignoredText(finding: Diagnosis): string {
  const { meaning, remedy } = CODES[finding.code];
  return `  ${formatDiagnosis(finding)}\n    ${meaning} ${remedy}\n`;
}
