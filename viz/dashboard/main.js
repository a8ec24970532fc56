// The page: asks for the figures every few seconds and shows one of the views.
import { getFindings, getOverview, takeKey } from './api.js';
import { byId, focusKey, h } from './dom.js';
import { clock, plural } from './format.js';
import { findingsView, problemCount } from './findings-view.js';
import { overviewView } from './overview-view.js';
import { routesView } from './routes-view.js';
import { TapView } from './tap-view.js';
import { workloadsView } from './workloads-view.js';

/** @typedef {import('./api.js').Overview} Overview */
/** @typedef {import('./api.js').Findings} Findings */
/** @typedef {{ overview: Overview, findings: Findings | undefined, namespace: string, parameters: URLSearchParams }} State */

const REFRESH_MS = 5_000;
const THEMES = /** @type {const} */ (['auto', 'light', 'dark']);
const THEME_SIGNS = { auto: '◐', light: '☀', dark: '☾' };

/** @type {Record<string, { title: string, render: (state: State) => Node }>} */
const VIEWS = {
  '': { title: 'Overview', render: overviewView },
  workloads: { title: 'Workloads', render: workloadsView },
  routes: { title: 'Routes', render: routesView },
  tap: { title: 'Tap', render: (state) => tapView.show(state) },
  findings: { title: 'Findings', render: findingsView },
};

const tapView = new TapView();
const content = byId('content');
const namespaces = /** @type {HTMLSelectElement} */ (byId('namespace'));
const windows = /** @type {HTMLSelectElement} */ (byId('window'));

/** @type {Overview | undefined} */
let overview;
/** @type {Findings | undefined} */
let findings;
let failure = '';
let asked = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** The view of an address, `…#/tap?workload=x`. @param {string} url @returns {{ view: string, parameters: URLSearchParams }} */
function placeOf(url) {
  const [, view = '', query = ''] = /^#\/([a-z]*)\??(.*)$/.exec(new URL(url).hash) ?? [];
  return { view: view in VIEWS ? view : '', parameters: new URLSearchParams(query) };
}

async function refresh() {
  clearTimeout(timer);
  const question = ++asked;
  try {
    const answers = await Promise.all([getOverview(namespaces.value, windows.value), getFindings()]);
    if (question !== asked) return; // something else was asked meanwhile
    [overview, findings] = answers;
    failure = '';
  } catch (error) {
    if (question !== asked) return;
    failure = error instanceof Error ? error.message : String(error);
  }
  render();
  if (!document.hidden) timer = setTimeout(refresh, REFRESH_MS);
}

function render() {
  const { view, parameters } = placeOf(location.href);
  renderTabs(view);
  renderBanner();
  byId('freshness').textContent = overview === undefined ? '' : `as of ${clock(overview.nowMs)}`;
  if (overview === undefined) {
    content.replaceChildren(
      h('p', { class: 'loading' }, failure === '' ? 'Reading the metrics …' : 'There is nothing to show yet.'),
    );
    return;
  }
  renderNamespaces(overview);
  const shown = VIEWS[view]?.render({ overview, findings, namespace: namespaces.value, parameters });
  if (shown === undefined || shown === content.firstChild) return;
  const focused = document.activeElement?.getAttribute('data-key');
  const frames = [...content.querySelectorAll('[data-scroll]')].map((frame) => frame.scrollLeft);
  content.replaceChildren(shown);
  for (const [index, frame] of content.querySelectorAll('[data-scroll]').entries())
    frame.scrollLeft = frames[index] ?? 0;
  focusKey(content, focused);
}

/** @param {string} current */
function renderTabs(current) {
  const count = findings === undefined || overview === undefined ? 0 : problemCount(findings, namespaces.value);
  document.title = `${VIEWS[current]?.title ?? ''} · Tulle`;
  const links = Object.entries(VIEWS).map(([view, { title }]) =>
    h(
      'li',
      {},
      h(
        'a',
        { href: `#/${view}`, 'data-key': `tab-${view}`, ...(view === current ? { 'aria-current': 'page' } : {}) },
        title,
        view === 'findings' && count > 0 && h('span', { class: 'badge', title: plural(count, 'finding') }, count),
      ),
    ),
  );
  const focused = document.activeElement?.getAttribute('data-key');
  byId('tabs').replaceChildren(...links);
  if (focused?.startsWith('tab-')) focusKey(byId('tabs'), focused);
}

function renderBanner() {
  const banner = byId('banner');
  const lines = [
    ...(failure === ''
      ? []
      : [overview === undefined ? failure : `Not up to date, this is from ${clock(overview.nowMs)}: ${failure}`]),
    ...(overview?.notes ?? []),
  ];
  banner.classList.toggle('banner-bad', failure !== '');
  banner.hidden = lines.length === 0;
  const text = lines.join('\n');
  if (banner.textContent !== text) banner.textContent = text; // read out only when it changes
}

/** @param {Overview} overview */
function renderNamespaces({ namespaces: known }) {
  const options = [
    { value: '', text: 'all namespaces' },
    ...known.map(({ name, meshedPods, pods }) => ({
      value: name,
      text:
        meshedPods === 0 ? `${name} (not meshed)` : meshedPods < pods ? `${name} (${meshedPods}/${pods} meshed)` : name,
    })),
  ];
  const chosen = namespaces.value || new URLSearchParams(location.search).get('namespace') || '';
  if (chosen !== '' && !known.some(({ name }) => name === chosen))
    options.push({ value: chosen, text: `${chosen} (no pods)` });
  const key = JSON.stringify(options);
  if (namespaces.dataset['key'] === key) return;
  namespaces.dataset['key'] = key;
  namespaces.replaceChildren(...options.map(({ value, text }) => h('option', { value }, text)));
  namespaces.value = chosen;
}

/** @param {(typeof THEMES)[number]} theme */
function setTheme(theme) {
  document.documentElement.dataset['theme'] = theme;
  const button = byId('theme');
  button.textContent = THEME_SIGNS[theme];
  button.setAttribute('aria-label', `Colours: ${theme}. Change`);
  button.title = `Colours: ${theme}`;
  localStorage.setItem('tulle-theme', theme);
}

function start() {
  takeKey();
  setTheme(THEMES.find((theme) => theme === localStorage.getItem('tulle-theme')) ?? 'auto');
  byId('theme').addEventListener('click', () => {
    const current = THEMES.findIndex((theme) => theme === document.documentElement.dataset['theme']);
    setTheme(THEMES[(current + 1) % THEMES.length] ?? 'auto');
  });
  // In the address, so that a reload or a bookmark shows the same.
  const chosen = new URLSearchParams(location.search).get('namespace') ?? '';
  if (chosen !== '') namespaces.replaceChildren(h('option', { value: chosen }, chosen));
  namespaces.addEventListener('change', () => {
    const search = namespaces.value === '' ? '' : `?namespace=${encodeURIComponent(namespaces.value)}`;
    history.replaceState(null, '', `${location.pathname}${search}${location.hash}`);
    void refresh();
  });
  windows.addEventListener('change', () => void refresh());
  addEventListener('hashchange', ({ oldURL, newURL }) => {
    render();
    if (placeOf(oldURL).view === placeOf(newURL).view) return;
    content.focus({ preventScroll: true });
    scrollTo(0, 0);
  });
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) void refresh();
  });
  render();
  void refresh();
}

start();
