// The topology as a picture: workloads, and who sends what to whom.
import { s } from './dom.js';
import { bytes, health, percent, plural, rate, words } from './format.js';
import { layout, NODE_HEIGHT, NODE_WIDTH } from './layout.js';

/** @typedef {import('../metrics-api/topology.ts').Link} Link */
/** @typedef {import('../metrics-api/overview.ts').WorkloadRow} WorkloadRow */
/** @typedef {{ id: string, namespace: string, kind: string, name: string, row: WorkloadRow | undefined }} Place */

const LABELS_MAX = 40; // more hide each other
const READABLE_WIDTH = 720;
const NAME_MAX = 21;
const LINE_MIN = 1.5;
const LINE_MAX = 5;

/** @param {{ namespace: string, kind: string, name: string }} end */
export function idOf({ namespace, kind, name }) {
  return `${namespace}/${kind}/${name}`;
}

/**
 * Workloads that belong into the picture: with a proxy, or at the end of a link.
 *
 * @param {readonly WorkloadRow[]} workloads
 * @param {readonly Link[]} links
 * @returns {readonly Place[]}
 */
export function placesOf(workloads, links) {
  const rows = new Map(workloads.map((row) => [idOf(row), row]));
  /** @type {Map<string, Place>} */
  const places = new Map();
  const ends = links.flatMap(({ source, destination }) => [source, destination]);
  for (const end of [...workloads.filter(({ meshedPods }) => meshedPods > 0), ...ends]) {
    const id = idOf(end);
    places.set(id, { id, namespace: end.namespace, kind: end.kind, name: end.name, row: rows.get(id) });
  }
  return [...places.values()];
}

/**
 * @param {readonly Place[]} places
 * @param {readonly Link[]} links
 * @param {{ namespace: string, selected: string | undefined, onSelect: (id: string) => void }} options
 */
export function drawTopology(places, links, { namespace, selected, onSelect }) {
  const pairs = links.map(({ source, destination }) => ({ source: idOf(source), destination: idOf(destination) }));
  const { nodes, paths, width, height } = layout(
    places.map(({ id }) => id),
    pairs,
  );
  const near = new Set(
    pairs.flatMap(({ source, destination }) =>
      source === selected || destination === selected ? [source, destination] : [],
    ),
  );
  /** @param {number} index */
  const isDimmed = (index) =>
    selected !== undefined && pairs[index]?.source !== selected && pairs[index]?.destination !== selected;
  const picture = s(
    'svg',
    { class: 'topology', viewBox: `0 0 ${width} ${height}`, width, height, role: 'group', 'aria-label': 'Topology' },
    s('defs', {}, ...['none', 'good', 'fair', 'bad'].map(arrow)),
    s('g', {}, ...links.map((link, index) => drawLink(link, paths[index] ?? [], isDimmed(index)))),
    s(
      'g',
      {},
      ...(links.length > LABELS_MAX
        ? []
        : links.map((link, index) => drawLabel(link, paths[index] ?? [], isDimmed(index)))),
    ),
    s(
      'g',
      {},
      ...places.map((place) => {
        const isFaint = selected !== undefined && place.id !== selected && !near.has(place.id);
        return drawPlace(place, nodes.get(place.id) ?? { x: 0, y: 0 }, {
          hasNamespace: place.namespace !== namespace,
          isSelected: place.id === selected,
          isFaint,
          onSelect,
        });
      }),
    ),
  );
  picture.style.minWidth = `${Math.min(width, READABLE_WIDTH)}px`; // scrolls where it would be too small to read
  return picture;
}

/** @param {string} state */
function arrow(state) {
  return s(
    'marker',
    {
      id: `arrow-${state}`,
      viewBox: '0 0 8 8',
      refX: 7,
      refY: 4,
      markerWidth: 8,
      markerHeight: 8,
      markerUnits: 'userSpaceOnUse',
      orient: 'auto',
    },
    s('path', { d: 'M0 0.5L7.5 4L0 7.5Z', class: `arrow ${state}` }),
  );
}

/** @param {Link} link */
function widthOf({ http, bytesPerSecond }) {
  const weight = http.requestsPerSecond ?? bytesPerSecond / 1000;
  return Math.min(LINE_MAX, LINE_MIN + Math.log10(1 + weight));
}

/** @param {Link} link */
function stateOf({ http }) {
  return health(http.successRate);
}

/** @param {readonly import('./layout.js').Point[]} points */
function curve(points) {
  const inner = points.map(({ x, y }, index) => ({
    x: index === 0 ? x + NODE_WIDTH / 2 : index === points.length - 1 ? x - NODE_WIDTH / 2 - 3 : x,
    y,
  }));
  const [first, second] = inner;
  const last = points.at(-1);
  if (first === undefined || second === undefined || last === undefined) return '';
  const start = points[0];
  // Back to an earlier column, or to itself: around the workloads, not through them.
  if (start !== undefined && last.x <= start.x) {
    const top = Math.min(start.y, last.y) - NODE_HEIGHT;
    const [from, to] = [start.x + NODE_WIDTH / 2, last.x - NODE_WIDTH / 2 - 3];
    return `M${from} ${start.y}C${from + 60} ${start.y} ${from + 60} ${top} ${(from + to) / 2} ${top}S${to - 60} ${last.y} ${to} ${last.y}`;
  }
  let path = `M${first.x} ${first.y}`;
  for (let index = 1; index < inner.length; index += 1) {
    const [a, b] = [inner[index - 1] ?? first, inner[index] ?? second];
    const bend = (b.x - a.x) / 2;
    path += `C${a.x + bend} ${a.y} ${b.x - bend} ${b.y} ${b.x} ${b.y}`;
  }
  return path;
}

/** @param {Link} link @param {readonly import('./layout.js').Point[]} points @param {boolean} isDimmed */
function drawLink(link, points, isDimmed) {
  const state = stateOf(link);
  return s(
    'path',
    {
      d: curve(points),
      class: `link ${state} secured-${link.secured}${isDimmed ? ' dimmed' : ''}`,
      'stroke-width': widthOf(link).toFixed(2),
      'marker-end': `url(#arrow-${state})`,
    },
    s('title', {}, describe(link)),
  );
}

/** In words. @param {Link} link */
export function describe({ source, destination, http, tcpConnections, bytesPerSecond, secured, noTlsReasons }) {
  const traffic =
    http.requestsPerSecond === undefined
      ? `${plural(tcpConnections, 'connection')}, ${bytes(bytesPerSecond)}`
      : `${rate(http.requestsPerSecond)}, ${percent(http.successRate)} successful`;
  const tls =
    secured === 'all'
      ? 'mutual TLS'
      : `${secured === 'some' ? 'partly ' : ''}without mutual TLS: ${noTlsReasons.map(words).join(', ')}`;
  return `${source.name} to ${destination.name}: ${traffic}, ${tls}`;
}

/** @param {Link} link @param {readonly import('./layout.js').Point[]} points @param {boolean} isDimmed */
function drawLabel(link, points, isDimmed) {
  const [before, after] = [points[0], points[1]];
  if (before === undefined || after === undefined || points.at(-1) === undefined) return null;
  const isBack = after.x <= before.x;
  const x = isBack ? (before.x + after.x) / 2 : before.x + NODE_WIDTH / 2 + 62;
  const end = points.length === 2 ? after.x - NODE_WIDTH / 2 : after.x;
  // The curve's own height at that distance: it is steepest in the middle.
  const t = isBack ? 0 : Math.min(1, 62 / Math.max(1, end - before.x - NODE_WIDTH / 2));
  const y = isBack
    ? Math.min(before.y, after.y) - NODE_HEIGHT
    : before.y + (after.y - before.y) * (3 * t * t - 2 * t * t * t);
  const { requestsPerSecond } = link.http;
  const text = requestsPerSecond === undefined ? bytes(link.bytesPerSecond) : rate(requestsPerSecond);
  const width = 30 + text.length * 6.4;
  return s(
    'g',
    {
      class: `link-label ${stateOf(link)} secured-${link.secured}${isDimmed ? ' dimmed' : ''}`,
      transform: `translate(${x} ${y})`,
    },
    s('title', {}, describe(link)),
    s('rect', { x: -width / 2, y: -10, width, height: 20, rx: 10 }),
    s('path', {
      class: 'lock',
      transform: `translate(${-width / 2 + 8} -5.5)`,
      d: link.secured === 'all' ? LOCK : OPEN_LOCK,
    }),
    s('text', { x: 7, y: 4 }, text),
  );
}

const LOCK = 'M1 5h8v6H1zM2.8 5V3.2a2.2 2.2 0 0 1 4.4 0V5';
const OPEN_LOCK = 'M1 5h8v6H1zM2.8 5V2.6a2.2 2.2 0 0 1 4.2-.9';

/**
 * @param {Place} place
 * @param {import('./layout.js').Point} point
 * @param {{ hasNamespace: boolean, isSelected: boolean, isFaint: boolean, onSelect: (id: string) => void }} options
 */
function drawPlace({ id, namespace, kind, name, row }, { x, y }, { hasNamespace, isSelected, isFaint, onSelect }) {
  const isMeshed = row === undefined || row.meshedPods > 0;
  const state = isMeshed ? health(row?.successRate) : 'outside';
  const figures = !isMeshed
    ? 'no proxy'
    : row?.requestsPerSecond === undefined
      ? hasNamespace
        ? namespace
        : kind
      : `${percent(row.successRate)} · ${rate(row.requestsPerSecond)}`;
  const label = `${kind} ${namespace}/${name}, ${figures}`;
  const title = hasNamespace && row?.requestsPerSecond !== undefined ? `${namespace}/${name}` : name;
  const short = title.length > NAME_MAX ? `${title.slice(0, NAME_MAX - 1)}…` : title;
  return s(
    'g',
    {
      class: `place ${state}${isSelected ? ' selected' : ''}${isFaint ? ' dimmed' : ''}`,
      transform: `translate(${x - NODE_WIDTH / 2} ${y - NODE_HEIGHT / 2})`,
      role: 'button',
      tabindex: 0,
      'aria-label': label,
      'aria-pressed': String(isSelected),
      'data-key': id,
      onclick: () => onSelect(id),
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        onSelect(id);
      },
    },
    s('title', {}, `${kind} ${namespace}/${name}`),
    s('rect', { class: 'box', width: NODE_WIDTH, height: NODE_HEIGHT, rx: 10 }),
    s('rect', { class: 'mark', x: 9, y: 13, width: 4, height: NODE_HEIGHT - 26, rx: 2 }),
    s('text', { class: 'place-name', x: 23, y: 23 }, short),
    s('text', { class: 'place-figures', x: 23, y: 41 }, figures),
  );
}
