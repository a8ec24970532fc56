// The first view: the figures of everything, the topology, and one workload in detail.
import { panel, successCell } from './cells.js';
import { empty, h } from './dom.js';
import { bytes, count, durations, health, percent, plural, rate, shortIdentity, words } from './format.js';
import { problemCount } from './findings-view.js';
import { addHistories, sparkline } from './sparkline.js';
import { drawTopology, idOf, placesOf } from './topology.js';
import { workloadsPanel } from './workloads-view.js';

/** @typedef {import('./main.js').State} State */
/** @typedef {import('../metrics-api/topology.ts').Link} Link */

const PLACES_MAX = 80;

/** @param {State} state */
export function overviewView(state) {
  return h(
    'div',
    { class: 'view' },
    h('h1', { class: 'visually-hidden' }, 'Overview'),
    figures(state),
    topologyPanel(state),
    workloadsPanel(state),
  );
}

/** Shows a workload in detail, or none any more. @param {string | undefined} id */
function select(id) {
  location.hash = id === undefined ? '#/' : `#/?workload=${encodeURIComponent(id)}`;
}

/** @param {State} state */
function figures({ overview, findings, namespace }) {
  const { workloads, links, historyStepMs } = overview;
  const responses = workloads.reduce((sum, row) => sum + (row.responses ?? 0), 0);
  const perSecond = workloads.reduce((sum, row) => sum + (row.requestsPerSecond ?? 0), 0);
  const success =
    responses === 0
      ? undefined
      : workloads.reduce((sum, row) => sum + (row.successRate ?? 0) * (row.responses ?? 0), 0) / responses;
  const pods = workloads.reduce((sum, { runningPods }) => sum + runningPods, 0);
  const meshed = workloads.reduce((sum, { meshedPods }) => sum + meshedPods, 0);
  const secured = links.filter((link) => link.secured === 'all').length;
  const problems = findings === undefined ? undefined : problemCount(findings, namespace);
  const history = addHistories(workloads.map((row) => row.history));
  return h(
    'dl',
    { class: 'figures' },
    figure('Success rate', percent(success), health(success), 'of all responses of the workloads'),
    figure(
      'Requests',
      responses === 0 ? '–' : rate(perSecond),
      'none',
      sparkline(history, { width: 168, height: 26, stepMs: historyStepMs }),
    ),
    figure(
      'Pods in the mesh',
      `${meshed} / ${pods}`,
      pods > 0 && meshed === pods ? 'good' : 'none',
      meshed < pods ? `${plural(pods - meshed, 'pod')} without a proxy` : 'every pod has a proxy',
    ),
    figure(
      'Mutual TLS',
      links.length === 0 ? '–' : `${secured} / ${links.length}`,
      links.length === 0 ? 'none' : secured === links.length ? 'good' : 'fair',
      links.length === 0
        ? 'no connections were seen'
        : secured === links.length
          ? 'every link is secured'
          : `${plural(links.length - secured, 'link')} not secured`,
    ),
    figure(
      'Findings',
      count(problems),
      problems === 0 ? 'good' : problems === undefined ? 'none' : 'fair',
      problems === 0 ? 'all configuration takes effect' : h('a', { href: '#/findings' }, 'settings without effect'),
    ),
  );
}

/** @param {string} title @param {string} value @param {string} state @param {import('./dom.js').Child} remark */
function figure(title, value, state, remark) {
  return h(
    'div',
    { class: 'figure' },
    h('dt', {}, title),
    h('dd', { class: `figure-value ${state}` }, value),
    h('dd', { class: 'figure-remark' }, remark),
  );
}

/** @param {State} state */
function topologyPanel(state) {
  const { overview, namespace, parameters } = state;
  const { links } = overview;
  const places = placesOf(overview.workloads, links);
  const legend = h(
    'ul',
    { class: 'legend' },
    ...[
      ['good', '99 % or more'],
      ['fair', '95 % or more'],
      ['bad', 'less'],
      ['none', 'not HTTP'],
    ].map(([name = '', text = '']) => h('li', {}, h('span', { class: `dot ${name}`, 'aria-hidden': 'true' }), text)),
    h('li', {}, h('span', { class: 'dash-sign', 'aria-hidden': 'true' }), 'no mutual TLS'),
  );
  if (places.length === 0) return panel('Topology', null, emptyTopology(state));
  if (places.length > PLACES_MAX)
    return panel(
      'Topology',
      null,
      empty(`${places.length} workloads are too many for one picture.`, 'Choose a namespace above.'),
    );
  const selected = places.find(({ id }) => id === parameters.get('workload'))?.id;
  const picture = drawTopology(places, links, {
    namespace,
    selected,
    onSelect: (id) => select(id === selected ? undefined : id),
  });
  return panel(
    'Topology',
    legend,
    h(
      'div',
      { class: 'topology-split' },
      h(
        'div',
        { class: 'topology-frame', 'data-scroll': true },
        picture,
        links.length === 0 && h('p', { class: 'hint' }, noLinksReason(state)),
      ),
      selected !== undefined && details(state, selected),
    ),
  );
}

/** @param {State} state */
function emptyTopology({ overview, namespace }) {
  const where = namespace === '' ? 'the cluster' : `namespace ${namespace}`;
  if (overview.workloads.length === 0)
    return empty(`Nothing runs in ${where}.`, 'Workloads appear here as soon as they have a pod.');
  return empty(
    `No workload in ${where} has a proxy.`,
    'Mesh a namespace and restart what runs in it: ',
    h('code', {}, `kubectl annotate namespace ${namespace || 'NAMESPACE'} linkerd.io/inject=enabled`),
  );
}

/** @param {State} state */
function noLinksReason({ overview }) {
  return `No meshed workload opened a connection to another within the last ${plural(Math.round(overview.windowMs / 60_000), 'minute')}.`;
}

/** @param {State} state @param {string} id */
function details({ overview }, id) {
  const row = overview.workloads.find((one) => idOf(one) === id);
  const [namespace = '', kind = '', name = ''] = id.split('/');
  const from = overview.links.filter((link) => idOf(link.source) === id);
  const to = overview.links.filter((link) => idOf(link.destination) === id);
  return h(
    'aside',
    { class: 'details', 'aria-label': `Details of ${name}` },
    h(
      'div',
      { class: 'details-head' },
      h('div', {}, h('h3', {}, name), h('p', { class: 'details-where' }, `${kind} in ${namespace}`)),
      h(
        'button',
        {
          type: 'button',
          class: 'icon-button',
          'aria-label': 'Close',
          'data-key': 'close',
          onclick: () => select(undefined),
        },
        '×',
      ),
    ),
    row === undefined
      ? h('p', {}, 'It is in another namespace: choose that to see its figures.')
      : h(
          'dl',
          { class: 'facts' },
          ...fact('Pods with a proxy', `${row.meshedPods} of ${row.runningPods}`),
          ...fact('Success', successCell(row.successRate)),
          ...fact('Requests', rate(row.requestsPerSecond)),
          ...fact('P50 / P95 / P99', durations([row.latencyMs?.p50, row.latencyMs?.p95, row.latencyMs?.p99])),
          ...fact('Open connections', count(row.tcpConnections)),
        ),
    linkList('Called by', to, ({ source }) => source),
    linkList('Calls', from, ({ destination }) => destination),
    (row?.meshedPods ?? 0) > 0 &&
      h('a', { class: 'button', href: `#/tap?workload=${encodeURIComponent(id)}` }, 'Watch its requests'),
  );
}

/** @param {string} title @param {import('./dom.js').Child} value */
function fact(title, value) {
  return [h('dt', {}, title), h('dd', {}, value)];
}

/** @param {string} title @param {readonly Link[]} links @param {(link: Link) => import('../metrics-api/topology.ts').LinkEnd} peer */
function linkList(title, links, peer) {
  if (links.length === 0) return null;
  return h(
    'div',
    { class: 'link-list' },
    h('h4', {}, title),
    h(
      'ul',
      {},
      ...links.map((link) => {
        const { http, bytesPerSecond, secured, clientIds, serverIds, noTlsReasons } = link;
        const identities = `${clientIds.map(shortIdentity).join(', ')} → ${serverIds.map(shortIdentity).join(', ')}`;
        return h(
          'li',
          {},
          h('span', { class: `dot ${health(http.successRate)}`, 'aria-hidden': 'true' }),
          h('span', { class: 'link-name' }, peer(link).name),
          h(
            'span',
            { class: 'link-figures' },
            http.requestsPerSecond === undefined
              ? bytes(bytesPerSecond)
              : `${percent(http.successRate)} · ${rate(http.requestsPerSecond)}`,
          ),
          h(
            'span',
            { class: `link-tls secured-${secured}` },
            secured === 'all' ? identities : `no mutual TLS: ${noTlsReasons.map(words).join(', ')}`,
          ),
        );
      }),
    ),
  );
}
