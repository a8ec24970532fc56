import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import type { Values } from '#config/values.ts';
import type { JsonObject } from '#k8s/json.ts';
import { clusterContextOf } from '../../control-plane/findings/cluster-findings.ts';
import { analyze } from '../../control-plane/findings/analyze.ts';
import { analyzeApplied } from '../../control-plane/findings/applied.ts';
import { diagnose, type Diagnosis } from '../../control-plane/diagnosis/diagnosis.ts';
import { identify, type AnalysisContext } from '../../control-plane/findings/inventory.ts';
import { schemasOf } from '../../control-plane/findings/schema.ts';
import { renderCrds, renderGatewayApiCrds } from '../../control-plane/install/render.ts';
import { clusterObjects, installedDefinitions } from '../analyze/cluster-objects.ts';
import { readObjects, type GivenObjects, type LocatedObject, type UnnamedObject } from '../analyze/given-objects.ts';
import { jsonReport, textReport, type LocatedDiagnosis } from '../analyze/report.ts';
import { sarif } from '../analyze/sarif.ts';
import { connect } from '../cluster.ts';
import {
  CLUSTER_FLAGS,
  optionalText,
  textFlag,
  textList,
  UsageError,
  type Command,
  type FlagValues,
  type Terminal,
} from '../command.ts';
import { installedValues } from '../installed-values.ts';
import { noObjects, readManifestSources } from '../manifest-files.ts';
import { refuseUnknownNamespace } from '../namespaces.ts';

export const analyzeCommand: Command = {
  path: ['analyze'],
  summary: 'Say what configuration is refused, ignored or without effect, and why.',
  details:
    'Objects are read by the code that the control plane and its webhook read them with. Without --filename\n' +
    'the cluster is looked at. With it nothing but the files is, and a reference to what is not in them counts as one to nothing.\n\n' +
    '--against-cluster says what the files would do in the cluster: their objects stand beside what it holds, and in place of what has\n' +
    'their kind, namespace and name. Shown is what is found about them, and about other objects because of them.\n\n' +
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
    'against-cluster': { type: 'boolean', help: 'with --filename: as if the files were applied to the cluster' },
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
    'tulle analyze -f manifests/ --against-cluster',
    'kubectl kustomize overlays/production | tulle analyze -f - -o sarif > tulle.sarif',
    'tulle analyze -n shop',
  ],
  run: async ({ flags, terminal }) => {
    const files = textList(flags, 'filename');
    const isBesideCluster = flags['against-cluster'] === true;
    if (isBesideCluster && files.length === 0)
      throw new UsageError(
        '--against-cluster is about files: name them with -f (without both the cluster is analyzed)',
      );
    const given =
      files.length === 0
        ? await ofCluster(flags)
        : isBesideCluster
          ? await ofFilesInCluster(files, flags, terminal)
          : await ofFiles(files, flags, terminal);
    const wanted = optionalText(flags, 'namespace');
    const found = [
      ...given.refused,
      ...given.found.map((diagnosis) => located(diagnosis, given.objects, given.defaultNamespace)),
    ].filter(
      ({ namespace, kind, name }) =>
        wanted === undefined || namespace === wanted || (kind === 'Namespace' && name === wanted),
    );
    const count = given.objects.length + given.refused.length;
    const format = textFlag(flags, 'output');
    if (format === 'text') terminal.out(textReport(found, count, terminal.isColoured));
    else {
      const report = format === 'sarif' ? sarif(found, process.cwd()) : jsonReport(found);
      terminal.out(`${JSON.stringify(report, undefined, 2)}\n`);
    }
    return found.some(({ severity }) => severity === 'error') ? 1 : 0;
  },
};

type Given = {
  readonly defaultNamespace: string;
  readonly objects: readonly (Pick<LocatedObject, 'object'> & Partial<LocatedObject>)[];
  readonly refused: readonly LocatedDiagnosis[]; // of objects that are not among these
  readonly found: readonly Diagnosis[];
};

async function ofFiles(files: readonly string[], flags: FlagValues, terminal: Terminal): Promise<Given> {
  const { objects, unnamed } = await objectsOfFiles(files, terminal);
  const values = { ...defaultValues(VERSION), namespace: textFlag(flags, 'tulle-namespace') };
  const defaultNamespace = optionalText(flags, 'namespace') ?? 'default';
  const found = analyze(plain(objects), contextOf(values, defaultNamespace, false), schemasOf(definitionsOf(values)));
  return { defaultNamespace, objects, refused: refusedNames(unnamed, defaultNamespace), found };
}

async function ofFilesInCluster(files: readonly string[], flags: FlagValues, terminal: Terminal): Promise<Given> {
  const { objects, unnamed } = await objectsOfFiles(files, terminal);
  const cluster = await connect(flags);
  try {
    const { values } = await installedValues(cluster, textFlag(flags, 'tulle-namespace'));
    const wanted = optionalText(flags, 'namespace');
    const defaultNamespace = wanted ?? cluster.defaultNamespace;
    const present = await clusterObjects(cluster);
    if (wanted !== undefined) refuseUnknownNamespace('--namespace', wanted, [...present, ...plain(objects)]);
    const definitions = await installedDefinitions(cluster, definitionsOf(values), plain(objects));
    const context = contextOf(values, defaultNamespace, true);
    const found = analyzeApplied(plain(objects), present, context, schemasOf(definitions));
    return { defaultNamespace, objects, refused: refusedNames(unnamed, defaultNamespace), found };
  } finally {
    cluster.close();
  }
}

async function ofCluster(flags: FlagValues): Promise<Given> {
  const cluster = await connect(flags);
  try {
    const { values } = await installedValues(cluster, textFlag(flags, 'tulle-namespace'));
    const objects = await clusterObjects(cluster);
    const wanted = optionalText(flags, 'namespace');
    if (wanted !== undefined) refuseUnknownNamespace('--namespace', wanted, objects);
    const { defaultNamespace } = cluster;
    // A cluster may serve other versions than we install: what was read there is served, was taken, and is read here.
    const found = analyze(objects, contextOf(values, defaultNamespace, true), []).filter(
      ({ code }) => code !== 'TL0002',
    );
    return { defaultNamespace, objects: objects.map((object) => ({ object })), refused: [], found };
  } finally {
    cluster.close();
  }
}

async function objectsOfFiles(files: readonly string[], terminal: Terminal): Promise<GivenObjects> {
  const sources = await readManifestSources(files, terminal.readStdin, 'analyze');
  const given = readObjects(sources, (why) => terminal.err(`${why}; left out\n`));
  if (given.objects.length + given.unnamed.length === 0) throw noObjects(files);
  return given;
}

/** What the API server refuses for its name. */
function refusedNames(unnamed: readonly UnnamedObject[], defaultNamespace: string): readonly LocatedDiagnosis[] {
  return unnamed.flatMap(({ object, message, location }) => {
    const about = identify(object, defaultNamespace);
    return about === undefined ? [] : [{ ...diagnose('TL0003', about, 'metadata.name', message), location }];
  });
}

function plain(objects: readonly LocatedObject[]): readonly JsonObject[] {
  return objects.map(({ object }) => object);
}

/** The CustomResourceDefinitions of the kinds that this version reads. */
function definitionsOf(values: Values): readonly JsonObject[] {
  return [...renderCrds(values), ...renderGatewayApiCrds()] as readonly unknown[] as readonly JsonObject[];
}

/** What objects mean in an installation. */
export function contextOf(values: Values, defaultNamespace: string, isWholeCluster: boolean): AnalysisContext {
  return {
    ...clusterContextOf(values),
    defaultNamespace,
    isRedirectedByNode: values.cni.enabled,
    isWholeCluster,
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
