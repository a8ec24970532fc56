// Golden metrics of workloads and of Services.
import { latencyColumns, nameCell, panel, rateColumns } from './cells.js';
import { empty, h } from './dom.js';
import { bytes, count, plural } from './format.js';
import { sparkline } from './sparkline.js';
import { table } from './table.js';

/** @typedef {import('./main.js').State} State */

let isUnmeshedShown = false;

/** @param {State} state */
export function workloadsView(state) {
  return h(
    'div',
    { class: 'view' },
    h('h1', { class: 'visually-hidden' }, 'Workloads'),
    workloadsPanel(state),
    servicesPanel(state),
  );
}

/** @param {State} state */
export function workloadsPanel({ overview, namespace }) {
  const place = h('div', {});
  const { workloads, historyStepMs } = overview;
  const hidden = workloads.filter(({ meshedPods }) => meshedPods === 0);
  const draw = () => {
    const rows = isUnmeshedShown ? workloads : workloads.filter(({ meshedPods }) => meshedPods > 0);
    const toggle =
      hidden.length > 0 &&
      h(
        'label',
        { class: 'toggle' },
        h('input', {
          type: 'checkbox',
          'data-key': 'unmeshed',
          ...(isUnmeshedShown ? { checked: true } : {}),
          onchange: () => {
            isUnmeshedShown = !isUnmeshedShown;
            draw();
          },
        }),
        `also ${plural(hidden.length, 'workload')} without a proxy`,
      );
    const where = namespace === '' ? 'the cluster' : `namespace ${namespace}`;
    place.replaceChildren(
      panel(
        'Workloads',
        toggle,
        rows.length === 0
          ? empty(
              hidden.length === 0 ? `Nothing runs in ${where}.` : `No workload in ${where} has a proxy.`,
              hidden.length === 0
                ? 'Workloads appear here as soon as they have a pod.'
                : 'Nothing is measured without one: mesh the namespace and restart its workloads.',
            )
          : table(
              'Workloads',
              [
                {
                  title: 'Workload',
                  cell: (row) => nameCell(row, namespace === ''),
                  sort: (row) => `${row.namespace}/${row.name}`,
                },
                {
                  title: 'Meshed',
                  isNumber: true,
                  cell: meshedCell,
                  sort: ({ meshedPods, runningPods }) => meshedPods / runningPods,
                },
                ...rateColumns((/** @type {(typeof rows)[number]} */ row) => row),
                {
                  title: 'Last 5 minutes',
                  cell: ({ history, meshedPods }) =>
                    meshedPods === 0 ? '' : sparkline(history, { width: 118, height: 22, stepMs: historyStepMs }),
                },
                ...latencyColumns((/** @type {(typeof rows)[number]} */ row) => row),
                {
                  title: 'Connections',
                  isNumber: true,
                  cell: ({ tcpConnections }) => count(tcpConnections),
                  sort: ({ tcpConnections }) => tcpConnections,
                },
                {
                  title: 'Bytes in',
                  isNumber: true,
                  cell: ({ readBytesPerSecond }) => bytes(readBytesPerSecond),
                  sort: ({ readBytesPerSecond }) => readBytesPerSecond,
                },
              ],
              rows,
            ),
      ),
    );
  };
  draw();
  return place;
}

/** @param {{ meshedPods: number, runningPods: number }} row */
function meshedCell({ meshedPods, runningPods }) {
  return h('span', { class: meshedPods < runningPods ? 'fair-text' : '' }, `${meshedPods}/${runningPods}`);
}

/** @param {State} state */
function servicesPanel({ overview, namespace }) {
  const rows = overview.services.filter(
    ({ responses, tcpConnections }) => responses !== undefined || tcpConnections !== undefined,
  );
  const silent = overview.services.length - rows.length;
  return panel(
    'Services',
    'as the proxies of their clients saw them',
    rows.length === 0
      ? empty(
          overview.services.length === 0
            ? 'There is no Service.'
            : `None of ${plural(overview.services.length, 'Service')} was used by a meshed client.`,
          'Services are measured where requests begin: a client without a proxy is not seen.',
        )
      : table(
          'Services',
          [
            {
              title: 'Service',
              cell: (row) => nameCell({ ...row, kind: 'service' }, namespace === ''),
              sort: (row) => `${row.namespace}/${row.name}`,
            },
            ...rateColumns((/** @type {(typeof rows)[number]} */ row) => row),
            ...latencyColumns((/** @type {(typeof rows)[number]} */ row) => row),
            {
              title: 'Connections',
              isNumber: true,
              cell: ({ tcpConnections }) => count(tcpConnections),
              sort: ({ tcpConnections }) => tcpConnections,
            },
          ],
          rows,
        ),
    silent > 0 &&
      rows.length > 0 &&
      h('p', { class: 'panel-foot' }, `${plural(silent, 'Service')} not used by a meshed client within the window.`),
  );
}
