import { evaluateOutbound, type OutboundVerdict } from '#model/evaluate.ts';
import type { RequestHead } from '#model/match.ts';
import { decidesRoutes } from '#model/profile.ts';
import { formatResourceRef } from '#model/resource-ref.ts';
import type { JsonObject } from '#k8s/json.ts';
import { splitService } from '../../control-plane/dialects/smi.ts';
import { analyze } from '../../control-plane/findings/analyze.ts';
import { CODES } from '../../control-plane/diagnosis/codes.ts';
import { formatDiagnosis, type Diagnosis } from '../../control-plane/diagnosis/diagnosis.ts';
import { Inventory } from '../../control-plane/findings/inventory.ts';
import { outboundOf, profileOf } from '../../control-plane/findings/outbound.ts';
import { clusterObjects } from '../analyze/cluster-objects.ts';
import { connect } from '../cluster.ts';
import { CLUSTER_FLAGS, CommandError, optionalText, textFlag, UsageError, type Command } from '../command.ts';
import {
  describedRequest,
  formatRequest,
  isRequestDescribed,
  REQUEST_FLAGS,
} from '../diagnostics/described-request.ts';
import { describeDecider, describeRetry, describeShares, describeTimeouts } from '../diagnostics/describe.ts';
import { outboundTables, profileRoutesTable } from '../diagnostics/policy-tables.ts';
import { installedValues } from '../installed-values.ts';
import { contextOf } from './analyze.ts';

export const routesExplain: Command = {
  path: ['routes', 'explain'],
  args: 'svc/NAME[:PORT]',
  summary: 'Say which object decides where requests to a Service go, and what is ignored and why.',
  details:
    'Objects are read from the cluster, and a request that is described by --method, --path, --header and --authority is routed by the\n' +
    'code with which the proxy routes it. Routes of the namespace of the client may differ: name it with --from.',
  flags: {
    ...CLUSTER_FLAGS,
    namespace: { type: 'string', short: 'n', value: 'NS', isName: true, help: 'namespace of the Service' },
    from: { type: 'string', value: 'NS', isName: true, help: 'namespace of the client (default: that of the Service)' },
    ...REQUEST_FLAGS,
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
  ],
  run: async ({ flags, args, terminal }) => {
    const { name, port: wanted } = targetOf(args);
    describedRequest(flags, ''); // wrong flags are refused before anything is asked
    const cluster = await connect(flags);
    try {
      const namespace = optionalText(flags, 'namespace') ?? cluster.defaultNamespace;
      const { values } = await installedValues(cluster, textFlag(flags, 'tulle-namespace'));
      const objects = await clusterObjects(cluster);
      const inventory = new Inventory(objects, contextOf(values, namespace));
      const service = inventory.services.get(namespace, name);
      if (service === undefined) throw new CommandError(`there is no Service "${name}" in namespace ${namespace}`);
      const port = wanted ?? service.ports[0]?.port;
      if (port === undefined || !service.ports.some((one) => one.port === port)) {
        const ports = service.ports.map((one) => one.port).join(', ');
        throw new CommandError(
          `Service ${namespace}/${name} has no port ${port ?? 'at all'}: it has ${ports || 'none'}`,
        );
      }
      const client = optionalText(flags, 'from') ?? namespace;
      const policy = outboundOf(inventory, namespace, name, port, client);
      const profile = profileOf(inventory, namespace, name, port, client);
      const isAsked = isRequestDescribed(flags);
      const request = describedRequest(flags, `${name}.${namespace}`);
      const verdict = isAsked ? evaluateOutbound({ profile, ...(policy && { policy }) }, request) : undefined;
      const ignored = findingsAbout(inventory, objects, namespace, name);
      if (flags['output'] === 'json') {
        terminal.out(
          `${JSON.stringify({ service: { namespace, name, port }, client, profile, policy, verdict, ignored }, undefined, 2)}\n`,
        );
        return 0;
      }
      const routes = decidesRoutes(profile)
        ? profileText(profile)
        : policy === undefined
          ? 'No policy: connections go where they were meant to.\n'
          : outboundTables(policy);
      terminal.out(`Requests of clients in ${client} to Service ${namespace}/${name}, port ${port}\n${routes}`);
      if (verdict !== undefined) terminal.out(`\n${verdictText(verdict, request)}`);
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

function targetOf(args: readonly string[]): { readonly name: string; readonly port: number | undefined } {
  const [target, extra] = args;
  const [, name, port] = /^(?:svc|service|services)\/([a-z0-9][-a-z0-9]*)(?::(\d{1,5}))?$/.exec(target ?? '') ?? [];
  if (name === undefined || extra !== undefined) throw new UsageError('name one Service as svc/NAME or svc/NAME:PORT');
  return { name, port: port === undefined ? undefined : Number(port) };
}

/** Of routes of the Service, and of the profiles and splits that are about it. */
function findingsAbout(
  inventory: Inventory,
  objects: readonly JsonObject[],
  namespace: string,
  service: string,
): readonly Diagnosis[] {
  const { routes, traffic, context } = inventory;
  const splits = [...traffic.splits.values()].filter(
    (split) => split.namespace === namespace && splitService(split) === service,
  );
  const about = [
    ...routes.ofParent({ kind: 'Service', namespace, name: service }),
    ...splits,
    ...[...traffic.profiles.values()].filter(
      ({ name }) => name === `${service}.${namespace}.svc.${context.clusterDomain}`,
    ),
    { group: '', kind: 'Service', namespace, name: service },
  ];
  const isAbout = (one: Diagnosis): boolean =>
    about.some(
      ({ group, kind, namespace: there, name }) =>
        group === one.group && kind === one.kind && there === one.namespace && name === one.name,
    );
  // What the API server holds it has accepted: schemas say nothing more.
  return analyze(objects, context, []).filter((one) => one.code !== 'TL0002' && one.code !== 'TL0303' && isAbout(one));
}

function profileText(profile: Parameters<typeof evaluateOutbound>[0]['profile'] & object): string {
  const { ref, routes = [], targets = [] } = profile;
  const shares = targets.map(({ authority, weight }) => `${authority} (weight ${weight})`).join(', ');
  const decider = ref === undefined ? 'a profile' : formatResourceRef(ref);
  return `Decider:   ${decider}\nTargets:   ${shares || 'the Service itself'}\n${profileRoutesTable(routes)}`;
}

function verdictText(verdict: OutboundVerdict, request: RequestHead): string {
  const head = formatRequest(request);
  if (verdict.kind === 'no-route') return `${head}\n  is answered 404 by the proxy: ${verdict.reason}\n`;
  const { decider, filters, shares, timeouts, retry } = verdict;
  return [
    head,
    `  decided by:  ${decider === undefined ? 'nothing, it goes where it was meant to' : describeDecider(decider)}`,
    `  filters:     ${filters.map(({ kind }) => kind).join(', ') || '-'}`,
    `  backends:    ${describeShares(shares)}`,
    `  timeouts:    ${describeTimeouts(timeouts)}`,
    `  retries:     ${describeRetry(retry)}`,
    '',
  ].join('\n');
}

function ignoredText(finding: Diagnosis): string {
  const { meaning, remedy } = CODES[finding.code];
  return `  ${formatDiagnosis(finding)}\n    ${meaning} ${remedy}\n`;
}
