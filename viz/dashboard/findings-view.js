// What the configuration says and what has no effect, and traffic that is not secured.
import { panel } from './cells.js';
import { empty, h } from './dom.js';
import { clock, plural, shortIdentity, words } from './format.js';

/** @typedef {import('./main.js').State} State */
/** @typedef {import('./api.js').Findings} Findings */
/** @typedef {import('../web/findings.ts').ShownFinding} Finding */

/** @param {Findings} findings @param {string} namespace */
export function problemCount({ findings, total }, namespace) {
  return namespace === '' ? total : within(findings, namespace).length;
}

/** @param {readonly Finding[]} findings @param {string} namespace */
function within(findings, namespace) {
  return findings.filter((finding) => namespace === '' || finding.namespace === namespace);
}

/** @param {State} state */
export function findingsView({ overview, findings, namespace }) {
  return h(
    'div',
    { class: 'view' },
    h('h1', { class: 'visually-hidden' }, 'Findings'),
    panel('Settings without effect', 'the same that tulle check --proxy names', ...configuration(findings, namespace)),
    panel('Traffic without mutual TLS', null, unsecured(overview.links)),
  );
}

/** @param {Findings | undefined} answer @param {string} namespace */
function configuration(answer, namespace) {
  if (answer === undefined) return [h('p', { class: 'loading' }, 'Reading the configuration …')];
  const found = within(answer.findings, namespace);
  const problem =
    answer.problem !== undefined &&
    h(
      'p',
      { class: 'callout bad' },
      `The configuration cannot be read: ${answer.problem}`,
      answer.asOfMs > 0 && ` This is from ${clock(answer.asOfMs)}.`,
    );
  if (found.length === 0) {
    const where = namespace === '' ? 'in the cluster' : `in namespace ${namespace}`;
    return answer.asOfMs === 0
      ? [problem]
      : [
          problem,
          empty(
            'Everything takes effect.',
            `Every route, policy, ServiceProfile and TrafficSplit ${where} is used as it is written.`,
          ),
        ];
  }
  return [
    problem,
    h(
      'ul',
      { class: 'finding-list' },
      ...found.map(({ code, severity, kind, group, namespace: where, name, subject, message, meaning, remedy }) =>
        h(
          'li',
          { class: 'finding' },
          h(
            'div',
            { class: 'finding-object' },
            h('span', { class: 'tag', title: group }, kind),
            h('strong', {}, `${where} / ${name}`),
            h('span', { class: 'tag', title: severity }, code),
          ),
          h('p', { class: 'finding-message' }, h('code', {}, subject), ' ', message),
          h('p', { class: 'finding-meaning' }, `${meaning} ${remedy}`),
        ),
      ),
    ),
    answer.total > answer.findings.length &&
      h('p', { class: 'panel-foot' }, `${answer.total - answer.findings.length} more are not shown.`),
  ];
}

/** @param {State['overview']['links']} links */
function unsecured(links) {
  const open = links.filter(({ secured }) => secured !== 'all');
  if (open.length === 0)
    return links.length === 0
      ? empty('No connections were seen.', 'Meshed workloads must talk to each other within the window.')
      : empty('Every link is secured.', `${plural(links.length, 'link')} between workloads, all with mutual TLS.`);
  return h(
    'ul',
    { class: 'finding-list' },
    ...open.map(({ source, destination, secured, noTlsReasons, serverIds }) =>
      h(
        'li',
        { class: 'finding' },
        h(
          'div',
          { class: 'finding-object' },
          h('strong', {}, `${source.namespace} / ${source.name}`),
          h('span', { class: 'quiet' }, ' to '),
          h('strong', {}, `${destination.namespace} / ${destination.name}`),
        ),
        h('p', { class: 'finding-message' }, noTlsReasons.map(words).join(', ')),
        secured === 'some' &&
          h(
            'p',
            { class: 'finding-meaning' },
            `Other connections are mutual TLS, with ${serverIds.map(shortIdentity).join(', ')}.`,
          ),
      ),
    ),
  );
}
