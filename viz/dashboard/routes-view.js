// What became of the requests of each route.
import { latencyColumns, panel, rateColumns } from './cells.js';
import { empty, h } from './dom.js';
import { percent } from './format.js';
import { table } from './table.js';

/** @typedef {import('./main.js').State} State */
/** @typedef {import('../metrics-api/routes.ts').RouteRow} RouteRow */

/** @param {State} state */
export function routesView({ overview, namespace }) {
  const { routes } = overview;
  return h(
    'div',
    { class: 'view' },
    h('h1', { class: 'visually-hidden' }, 'Routes'),
    panel(
      'Routes',
      'of Services, as their clients saw them, after retries',
      routes.length === 0
        ? empty(
            'No request to a Service was seen.',
            overview.services.length === 0
              ? 'There is no Service here.'
              : 'Routes are counted by the proxies of the clients: a meshed client must send HTTP requests within the window.',
          )
        : table(
            'Routes',
            [
              {
                title: 'Service',
                cell: (row) => serviceCell(row, namespace === ''),
                sort: (row) => `${row.namespace}/${row.service}`,
              },
              { title: 'Route', cell: routeCell, sort: ({ route }) => route },
              ...rateColumns((/** @type {RouteRow} */ row) => row.effective),
              { title: 'Retries', cell: retriesCell, sort: retries },
              ...latencyColumns((/** @type {RouteRow} */ row) => row.effective),
              { title: 'Backends', cell: backendsCell },
            ],
            routes,
          ),
    ),
  );
}

/** @param {RouteRow} row @param {boolean} hasNamespace */
function serviceCell({ namespace, service }, hasNamespace) {
  return h(
    'span',
    { class: 'object' },
    hasNamespace && h('span', { class: 'object-namespace' }, `${namespace} / `),
    h('span', { class: 'object-name' }, service),
  );
}

/** @param {RouteRow} row */
function routeCell({ route, kind }) {
  return kind === 'default'
    ? h('span', { class: 'quiet', title: 'requests that no route took' }, 'default')
    : h('span', { class: 'object' }, h('code', {}, route), h('span', { class: 'tag' }, kind));
}

/** Attempts beyond the first, per request. @param {RouteRow} row */
function retries({ effective, actual }) {
  const [requests = 0, attempts = 0] = [effective.responses, actual.responses];
  return requests === 0 ? undefined : Math.max(0, attempts / requests - 1);
}

/** @param {RouteRow} row */
function retriesCell(row) {
  const share = retries(row) ?? 0;
  if (share < 0.0005) return h('span', { class: 'quiet' }, 'none');
  return h(
    'span',
    { title: 'requests that were sent again, and how many of all attempts succeeded' },
    `${percent(share)} `,
    h('span', { class: 'quiet' }, `(${percent(row.actual.successRate)} of attempts succeed)`),
  );
}

/** @param {RouteRow} row */
function backendsCell({ backends }) {
  const all = backends.reduce((sum, { responses = 0 }) => sum + responses, 0);
  if (all === 0) return '';
  return h(
    'span',
    { class: 'backends' },
    ...backends.map(({ name, responses = 0 }, index) =>
      h(
        'span',
        { class: 'backend' },
        h('span', { class: `swatch swatch-${index % 4}`, 'aria-hidden': 'true' }),
        name,
        backends.length > 1 && h('strong', {}, ` ${((responses / all) * 100).toFixed(0)}%`),
      ),
    ),
  );
}
