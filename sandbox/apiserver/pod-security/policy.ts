import type { StatusCause } from '../status-error.ts';

export type Level = 'privileged' | 'baseline' | 'restricted';

/** What is asked of pods, and by the controls of which Kubernetes version: a minor version, or Infinity for the latest. */
export type Standard = { readonly level: Level; readonly minor: number };

/** What a namespace asks of its pods. Its audit level has no effect: there is no audit log here. */
export type Policy = { readonly enforce: Standard; readonly warn: Standard };

type Labels = Readonly<Record<string, string>>;

const PREFIX = 'pod-security.kubernetes.io/';
const LEVELS: readonly Level[] = ['privileged', 'baseline', 'restricted'];
const LATEST = Infinity;

/**
 * What the labels of a namespace ask for. What cannot be read is taken as strictly as can be for `enforce`, and as nothing for
 * `warn`. Source: k8s.io/pod-security-admission `PolicyToEvaluate`.
 */
export function policyOf(labels: Labels): Policy {
  const enforceLevel = labels[`${PREFIX}enforce`];
  const enforce: Standard = {
    level: enforceLevel === undefined ? 'privileged' : (parseLevel(enforceLevel) ?? 'restricted'),
    minor: minorOf(labels, 'enforce'),
  };
  const warnLevel = labels[`${PREFIX}warn`];
  if (warnLevel !== undefined)
    return { enforce, warn: { level: parseLevel(warnLevel) ?? 'privileged', minor: minorOf(labels, 'warn') } };
  const isEnforced = enforceLevel !== undefined && parseLevel(enforceLevel) !== undefined;
  if (!isEnforced) return { enforce, warn: { level: 'privileged', minor: LATEST } };
  const isVersioned = labels[`${PREFIX}warn-version`] !== undefined;
  return { enforce, warn: { ...enforce, ...(isVersioned ? { minor: minorOf(labels, 'warn') } : {}) } };
}

/** What is wrong with the labels of a namespace, in Kubernetes' order and words. */
export function labelFaults(labels: Labels): readonly StatusCause[] {
  return ['enforce', 'audit', 'warn'].flatMap((mode) => {
    const level = labels[PREFIX + mode];
    const version = labels[`${PREFIX}${mode}-version`];
    return [
      ...(level === undefined || parseLevel(level) !== undefined
        ? []
        : [fault(mode, level, `must be one of ${LEVELS.join(', ')}`)]),
      ...(version === undefined || parseMinor(version) !== undefined
        ? []
        : [fault(`${mode}-version`, version, 'must be "latest" or "v1.x"')]),
    ];
  });
}

/** `restricted:latest` */
export function formatStandard({ level, minor }: Standard): string {
  return `${level}:${minor === LATEST ? 'latest' : `v1.${minor}`}`;
}

/** Whether `next` may refuse pods that `before` let pass. */
export function isStricter(next: Standard, before: Standard): boolean {
  if (next.level === 'privileged') return false;
  return next.minor === before.minor ? LEVELS.indexOf(next.level) > LEVELS.indexOf(before.level) : true;
}

function fault(label: string, value: string, why: string): StatusCause {
  const message = `Invalid value: ${JSON.stringify(value)}: ${why}`;
  return { reason: 'FieldValueInvalid', message, field: `metadata.labels[${PREFIX}${label}]` };
}

function parseLevel(text: string): Level | undefined {
  return LEVELS.find((level) => level === text);
}

function minorOf(labels: Labels, mode: string): number {
  return parseMinor(labels[`${PREFIX}${mode}-version`] ?? 'latest') ?? LATEST;
}

function parseMinor(text: string): number | undefined {
  if (text === 'latest') return LATEST;
  const minor = /^v1\.(0|[1-9]\d*)$/.exec(text)?.[1];
  return minor === undefined ? undefined : Number(minor);
}
