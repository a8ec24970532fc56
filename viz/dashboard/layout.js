// Where the workloads of the topology stand: in columns, so that requests go from left to right. Pure: knows no page.

/** @typedef {{ readonly x: number, readonly y: number }} Point */
/** @typedef {{ readonly source: string, readonly destination: string }} Pair */
/** @typedef {{ nodes: Map<string, Point>, paths: readonly (readonly Point[])[], width: number, height: number }} Layout */

export const NODE_WIDTH = 188;
export const NODE_HEIGHT = 54;
const COLUMN_GAP = 132;
const ROW_GAP = 26;
const MARGIN = 14;
const SWEEPS = 8;

/**
 * @param {readonly string[]} ids    of the workloads; those without links are put below the others
 * @param {readonly Pair[]} pairs    links between them
 * @param {number} columnsMax        in a row of workloads without links
 * @returns {Layout}  centres of the workloads, and for each link the points that it goes through
 */
export function layout(ids, pairs, columnsMax = 5) {
  const linked = new Set(pairs.flatMap(({ source, destination }) => [source, destination]));
  const layers = layersOf([...linked], pairs);
  const { columns, routes } = withBends(layers, pairs);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) order(columns, routes, sweep % 2 === 0);

  const rows = Math.max(0, ...columns.map((column) => column.length));
  /** @type {Map<string, Point>} */
  const all = new Map();
  columns.forEach((column, index) => {
    const offset = ((rows - column.length) * (NODE_HEIGHT + ROW_GAP)) / 2;
    column.forEach((id, row) => {
      all.set(id, {
        x: MARGIN + index * (NODE_WIDTH + COLUMN_GAP) + NODE_WIDTH / 2,
        y: MARGIN + offset + row * (NODE_HEIGHT + ROW_GAP) + NODE_HEIGHT / 2,
      });
    });
  });
  const linkedHeight = rows === 0 ? 0 : rows * (NODE_HEIGHT + ROW_GAP) - ROW_GAP;
  const lonely = ids.filter((id) => !linked.has(id));
  const top = linkedHeight === 0 ? MARGIN : MARGIN + linkedHeight + ROW_GAP * 2;
  lonely.forEach((id, index) => {
    all.set(id, {
      x: MARGIN + (index % columnsMax) * (NODE_WIDTH + ROW_GAP) + NODE_WIDTH / 2,
      y: top + Math.floor(index / columnsMax) * (NODE_HEIGHT + ROW_GAP) + NODE_HEIGHT / 2,
    });
  });
  const points = [...all.values()];
  return {
    nodes: new Map([...all].filter(([id]) => !id.startsWith(BEND))),
    paths: routes.map((route) => route.flatMap((id) => all.get(id) ?? [])),
    width: Math.max(0, ...points.map(({ x }) => x + NODE_WIDTH / 2)) + MARGIN,
    height: Math.max(0, ...points.map(({ y }) => y + NODE_HEIGHT / 2)) + MARGIN,
  };
}

/** What a link that passes a column has there instead of a workload. */
const BEND = '\0';

/**
 * The column of each workload: one further than the furthest that sends to it. Links that close a circle do not count.
 *
 * @param {readonly string[]} ids
 * @param {readonly Pair[]} pairs
 */
function layersOf(ids, pairs) {
  /** @type {Map<string, string[]>} */
  const targets = new Map(ids.map((id) => [id, []]));
  const received = new Map(ids.map((id) => [id, 0]));
  for (const { source, destination } of pairs) {
    if (source === destination) continue;
    targets.get(source)?.push(destination);
    received.set(destination, (received.get(destination) ?? 0) + 1);
  }
  const layers = new Map(ids.map((id) => [id, 0]));
  const onPath = new Set();
  const done = new Set();
  /** @type {string[]} */
  const finished = [];
  /** @type {Map<string, string[]>} */
  const forward = new Map(ids.map((id) => [id, []]));
  /** @param {string} id */
  const visit = (id) => {
    if (done.has(id)) return;
    onPath.add(id);
    for (const target of targets.get(id) ?? []) {
      if (onPath.has(target)) continue;
      forward.get(id)?.push(target);
      visit(target);
    }
    onPath.delete(id);
    done.add(id);
    finished.push(id);
  };
  // Who receives nothing comes first, so that circles are cut where a person would.
  for (const id of [...ids].sort((a, b) => (received.get(a) ?? 0) - (received.get(b) ?? 0) || (a < b ? -1 : 1)))
    visit(id);
  for (const id of finished.reverse()) {
    for (const target of forward.get(id) ?? []) {
      layers.set(target, Math.max(layers.get(target) ?? 0, (layers.get(id) ?? 0) + 1));
    }
  }
  return layers;
}

/**
 * The columns, with bends for links that pass some of them.
 *
 * @param {ReadonlyMap<string, number>} layers
 * @param {readonly Pair[]} pairs
 * @returns {{ columns: string[][], routes: string[][] }}
 */
function withBends(layers, pairs) {
  /** @type {string[][]} */
  const columns = Array.from({ length: Math.max(-1, ...layers.values()) + 1 }, () => []);
  for (const [id, layer] of [...layers].sort(([a], [b]) => (a < b ? -1 : 1))) columns[layer]?.push(id);
  const routes = pairs.map(({ source, destination }, index) => {
    const [from = 0, to = 0] = [layers.get(source), layers.get(destination)];
    const step = Math.sign(to - from);
    const route = [source];
    for (let passed = 1; passed < Math.abs(to - from); passed += 1) {
      const layer = from + passed * step;
      const bend = `${BEND}${index}:${layer}`;
      columns[layer]?.push(bend);
      route.push(bend);
    }
    return [...route, destination];
  });
  return { columns, routes };
}

/**
 * Puts each workload of a column near the middle of those that it is linked with in the column before (or after).
 *
 * @param {string[][]} columns  sorted in place
 * @param {readonly (readonly string[])[]} routes
 * @param {boolean} isForward
 */
function order(columns, routes, isForward) {
  /** @type {Map<string, string[]>} */
  const neighbours = new Map();
  /** @param {string} from @param {string} to */
  const add = (from, to) => neighbours.set(from, [...(neighbours.get(from) ?? []), to]);
  for (const route of routes) {
    for (let index = 1; index < route.length; index += 1) {
      const [a = '', b = ''] = [route[index - 1], route[index]];
      add(a, b);
      add(b, a);
    }
  }
  /** @type {Map<string, number>} */
  const positions = new Map(columns.flatMap((column) => column.map((id, row) => [id, row - column.length / 2])));
  const indices = columns.map((_, index) => index);
  for (const index of isForward ? indices : indices.reverse()) {
    const before = new Set(columns[isForward ? index - 1 : index + 1] ?? []);
    const column = columns[index] ?? [];
    /** @param {string} id */
    const middle = (id) => {
      const rows = (neighbours.get(id) ?? []).filter((one) => before.has(one)).map((one) => positions.get(one) ?? 0);
      return rows.length === 0 ? (positions.get(id) ?? 0) : rows.reduce((sum, row) => sum + row, 0) / rows.length;
    };
    const wanted = new Map(column.map((id) => [id, middle(id)]));
    column.sort((a, b) => (wanted.get(a) ?? 0) - (wanted.get(b) ?? 0));
    column.forEach((id, row) => positions.set(id, row - column.length / 2));
  }
}
