import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import type { Values } from '#config/values.ts';
import type { JsonObject } from '#k8s/json.ts';
import { clusterContextOf } from '../../control-plane/findings/cluster-findings.ts';
import { analyze } from '../../control-plane/findings/analyze.ts';
import type { Diagnosis } from '../../control-plane/diagnosis/diagnosis.ts';
import { identify, type AnalysisContext } from '../../control-plane/findings/inventory.ts';
import { schemasOf } from '../../control-plane/findings/schema.ts';
import { renderCrds, renderGatewayApiCrds } from '../../control-plane/install/render.ts';
import { clusterObjects } from '../analyze/cluster-objects.ts';
import { readObjects, type LocatedObject } from '../analyze/given-objects.ts';
import { jsonReport, textReport, type LocatedDiagnosis } from '../analyze/report.ts';
import { sarif } from '../analyze/sarif.ts';
import { connect } from '../cluster.ts';
import {
  CLUSTER_FLAGS,
  optionalText,
  textFlag,
  textList,
  type Command,
  type FlagValues,
  type Terminal,
} from '../command.ts';
import { installedValues } from '../installed-values.ts';
import { noObjects, readManifestSources } from '../manifest-files.ts';

export const analyzeCommand: Command = {
  path: ['analyze'],
  summary: 'Say what configuration is refused, ignored or without effect, and why.',
  details:
    'Objects are read by the code that the control plane and its webhook read them with. With --filename nothing but the files is\n' +
    'looked at, and a reference to what is not in them counts as one to nothing; without it the cluster is looked at.\n\n' +
    'Exit codes: 0 nothing graver than a warning, 1 there are errors (or the cluster cannot be read), 2 wrong usage.\n' +
    'Each finding has a stable code; control-plane/findings/README.md lists them.',
  flags: {
    ...CLUSTER_FLAGS,
    filename: {
      type: 'string',
      short: 'f',
      value: 'FILE|FOLDER|-',
      isRepeated: true,
      help: 'manifests to analyze instead of the cluster',
    },
    namespace: {
      type: 'string',
      short: 'n',
      value: 'NS',
      isName: true,
      help: 'only findings about this namespace; of files also the namespace of objects that name none',
    },
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      default: 'text',
      choices: ['text', 'json', 'sarif'],
      help: 'output format',
    },
  },
  examples: [
    'tulle analyze -f manifests/',
    'kubectl kustomize overlays/production | tulle analyze -f - -o sarif > tulle.sarif',
    'tulle analyze -n shop',
  ],
  run: async ({ flags, terminal }) => {
    const files = textList(flags, 'filename');
    const given = files.length > 0 ? await ofFiles(files, flags, terminal) : await ofCluster(flags);
    const schemas = schemasOf([
      ...renderCrds(given.values),
      ...renderGatewayApiCrds(),
    ] as readonly unknown[] as readonly JsonObject[]);
    const context = contextOf(given.values, given.defaultNamespace);
    const wanted = optionalText(flags, 'namespace');
    const found = analyze(
      given.objects.map(({ object }) => object),
      context,
      schemas,
    )
      .filter(
        ({ namespace, kind, name }) =>
          wanted === undefined || namespace === wanted || (kind === 'Namespace' && name === wanted),
      )
      // A cluster may serve other versions than we install: what was read there is served, was taken, and is read here.
      .filter(({ code }) => files.length > 0 || (code !== 'TL0002' && code !== 'TL0003'))
      .map((diagnosis) => located(diagnosis, given.objects, given.defaultNamespace));
    const format = textFlag(flags, 'output');
    if (format === 'text') terminal.out(textReport(found, given.objects.length, terminal.isColoured));
    else terminal.out(`${JSON.stringify(format === 'sarif' ? sarif(found) : jsonReport(found), undefined, 2)}\n`);
    return found.some(({ severity }) => severity === 'error') ? 1 : 0;
  },
};

type Given = {
  readonly values: Values;
  readonly defaultNamespace: string;
  readonly objects: readonly (Pick<LocatedObject, 'object'> & Partial<LocatedObject>)[];
};

async function ofFiles(files: readonly string[], flags: FlagValues, terminal: Terminal): Promise<Given> {
  const sources = await readManifestSources(files, terminal.readStdin, 'analyze');
  const objects = readObjects(sources, (why) => terminal.err(`${why}; left out\n`));
  if (objects.length === 0) throw noObjects(files);
  const values = { ...defaultValues(VERSION), namespace: textFlag(flags, 'tulle-namespace') };
  return { values, defaultNamespace: optionalText(flags, 'namespace') ?? 'default', objects };
}

async function ofCluster(flags: FlagValues): Promise<Given> {
  const cluster = await connect(flags);
  try {
    const { values } = await installedValues(cluster, textFlag(flags, 'tulle-namespace'));
    const objects = (await clusterObjects(cluster)).map((object) => ({ object }));
    return { values, defaultNamespace: cluster.defaultNamespace, objects };
  } finally {
    cluster.close();
  }
}

/** What objects mean in an installation. */
export function contextOf(values: Values, defaultNamespace: string): AnalysisContext {
  return {
    ...clusterContextOf(values),
    defaultNamespace,
    isRedirectedByNode: values.cni.enabled,
  };
}

function located(diagnosis: Diagnosis, objects: Given['objects'], defaultNamespace: string): LocatedDiagnosis {
  const isAbout = ({ object }: Given['objects'][number]): boolean => {
    const one = identify(object, defaultNamespace);
    return (
      one?.kind === diagnosis.kind &&
      one.group === diagnosis.group &&
      one.namespace === diagnosis.namespace &&
      one.name === diagnosis.name
    );
  };
  // Of an object that is there twice the later one counts.
  const location = objects.findLast(isAbout)?.locate?.(diagnosis.subject);
  return location === undefined ? diagnosis : { ...diagnosis, location };
}
