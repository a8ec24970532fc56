// Live requests of a workload, with the rights of who opened the page.
import { tap } from './api.js';
import { panel } from './cells.js';
import { empty, h } from './dom.js';
import { duration, plural } from './format.js';
import { Requests } from './tap-requests.js';

/** @typedef {import('./main.js').State} State */

const METHODS = ['', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];
const REDRAW_MS = 250;

/** One tap at a time, which goes on while other views are looked at. */
export class TapView {
  #requests = new Requests();
  #state = 'idle'; // idle, running, over
  #note = '';
  #problem = '';
  /** @type {AbortController | undefined} */
  #stop;
  /** @type {HTMLElement | undefined} */
  #element;
  #isDirty = false;
  #workloads = /** @type {HTMLSelectElement} */ (h('select', { id: 'tap-workload', required: true }));
  #method = /** @type {HTMLSelectElement} */ (
    h('select', { id: 'tap-method' }, ...METHODS.map((method) => h('option', { value: method }, method || 'any')))
  );
  #path = /** @type {HTMLInputElement} */ (
    h('input', { id: 'tap-path', type: 'text', placeholder: '/', maxlength: 1024, spellcheck: 'false' })
  );
  #button = h('button', { type: 'submit', class: 'button primary' }, 'Start');
  #status = h('p', { class: 'tap-status', role: 'status' });
  #results = h('div', {});

  /** @param {State} state */
  show(state) {
    this.#offer(state);
    this.#element ??= this.#build();
    return this.#element;
  }

  #build() {
    const form = h(
      'form',
      { class: 'tap-form', onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
      field('Workload', this.#workloads),
      field('Method', this.#method),
      field('Path begins with', this.#path),
      h(
        'div',
        { class: 'tap-buttons' },
        this.#button,
        h('button', { type: 'button', class: 'button', onclick: () => this.#clear() }, 'Clear'),
      ),
    );
    this.#draw();
    setInterval(() => this.#isDirty && this.#draw(), REDRAW_MS);
    return h(
      'div',
      { class: 'view' },
      h('h1', { class: 'visually-hidden' }, 'Tap'),
      panel('Live requests', this.#status, form, this.#results),
    );
  }

  /** Keeps the choice while workloads come and go. @param {State} state */
  #offer({ overview, namespace, parameters }) {
    const meshed = overview.workloads.filter(({ meshedPods }) => meshedPods > 0);
    const options = [
      ...(namespace === ''
        ? []
        : [{ value: `${namespace}/namespace/${namespace}`, text: `everything in ${namespace}` }]),
      ...meshed.map(({ namespace: where, kind, name }) => ({
        value: `${where}/${kind}/${name}`,
        text: namespace === '' ? `${where} / ${name} (${kind})` : `${name} (${kind})`,
      })),
    ];
    const asked = parameters.get('workload');
    const chosen = asked !== null && asked !== this.#workloads.dataset['asked'] ? asked : this.#workloads.value;
    this.#workloads.dataset['asked'] = asked ?? '';
    const key = JSON.stringify(options);
    if (this.#workloads.dataset['key'] !== key) {
      this.#workloads.dataset['key'] = key;
      this.#workloads.replaceChildren(...options.map(({ value, text }) => h('option', { value }, text)));
    }
    if (options.some(({ value }) => value === chosen)) this.#workloads.value = chosen;
    this.#isDirty = true;
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    if (this.#state === 'running') this.#stop?.abort();
    else void this.#run();
  }

  async #run() {
    const [namespace = '', kind = '', name = ''] = this.#workloads.value.split('/');
    const stop = new AbortController();
    this.#stop = stop;
    this.#state = 'running';
    this.#requests = new Requests();
    [this.#note, this.#problem] = ['asking for the right to tap …', ''];
    this.#draw();
    try {
      const question = {
        namespace,
        kind,
        ...(kind === 'namespace' ? {} : { name }),
        ...(this.#method.value === '' ? {} : { method: this.#method.value }),
        ...(this.#path.value === '' ? {} : { path: this.#path.value }),
      };
      await tap(question, stop.signal, ({ event, note }) => {
        if (note !== undefined) this.#note = note;
        if (event !== undefined) this.#requests.add(event);
        this.#isDirty = true;
      });
      if (!stop.signal.aborted) this.#problem = 'The tap ended: metrics-api closed the connection. Start it again.';
    } catch (error) {
      if (!stop.signal.aborted) this.#problem = error instanceof Error ? error.message : String(error);
    }
    this.#state = 'over';
    this.#note = '';
    this.#draw();
  }

  #clear() {
    this.#requests = new Requests();
    this.#problem = '';
    this.#draw();
  }

  #draw() {
    this.#isDirty = false;
    const isRunning = this.#state === 'running';
    const { rows, total } = this.#requests;
    this.#button.textContent = isRunning ? 'Stop' : 'Start';
    this.#button.toggleAttribute('disabled', !isRunning && this.#workloads.options.length === 0);
    this.#status.textContent = [isRunning ? this.#note : '', total > 0 ? `${plural(total, 'request')} seen` : '']
      .filter((text) => text !== '')
      .join(' · ');
    this.#status.classList.toggle('live', isRunning);
    const problem = this.#problem === '' ? null : h('p', { class: 'callout bad' }, this.#problem);
    this.#results.replaceChildren(
      ...(problem === null ? [] : [problem]),
      rows.length > 0 ? requestTable(rows) : problem === null ? this.#emptyReason(isRunning) : '',
    );
  }

  /** @param {boolean} isRunning */
  #emptyReason(isRunning) {
    if (this.#workloads.options.length === 0)
      return empty('Nothing can be tapped here.', 'Requests are seen by proxies, and no workload here has one.');
    return isRunning
      ? empty('Waiting for requests …', 'They appear as soon as the workload receives or sends one that fits.')
      : empty(
          'Choose a workload and start.',
          'A tap shows requests, with paths and addresses, while they happen. It needs the right to create taprequests in the namespace.',
        );
  }
}

/** @param {string} label @param {HTMLElement} input */
function field(label, input) {
  return h('div', { class: 'field' }, h('label', { for: input.id }, label), input);
}

/** @param {Requests['rows']} rows */
function requestTable(rows) {
  const heads = ['Time', 'From', 'To', 'Method', 'Path', 'Status', 'Latency', 'TLS'];
  return h(
    'div',
    { class: 'table-frame', tabindex: 0, role: 'region', 'aria-label': 'Requests' },
    h(
      'table',
      { class: 'requests' },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ...heads.map((title) => h('th', { scope: 'col', class: title === 'Latency' ? 'number' : '' }, title)),
        ),
      ),
      h(
        'tbody',
        {},
        ...rows.map((row) =>
          h(
            'tr',
            {},
            h('td', { class: 'quiet' }, row.time),
            h('td', {}, row.source),
            h('td', {}, row.destination),
            h('td', {}, h('span', { class: 'method' }, row.method)),
            h('td', { class: 'path', title: `${row.authority}${row.path}` }, row.path),
            h('td', {}, h('span', { class: `status ${row.outcome}` }, row.status)),
            h('td', { class: 'number' }, duration(row.latencyMs)),
            h(
              'td',
              {},
              row.isSecured ? h('span', { class: 'good-text' }, 'mutual') : h('span', { class: 'fair-text' }, 'none'),
            ),
          ),
        ),
      ),
    ),
  );
}
