import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layout, NODE_HEIGHT, NODE_WIDTH } from './layout.js';

const pairs = (...texts: readonly string[]) =>
  texts.map((text) => {
    const [source = '', destination = ''] = text.split('>');
    return { source, destination };
  });

function overlaps(nodes: ReadonlyMap<string, { readonly x: number; readonly y: number }>): readonly string[] {
  const all = [...nodes];
  return all.flatMap(([a, p], index) =>
    all
      .slice(index + 1)
      .filter(([, q]) => Math.abs(p.x - q.x) < NODE_WIDTH && Math.abs(p.y - q.y) < NODE_HEIGHT)
      .map(([b]) => `${a} and ${b}`),
  );
}

test('requests go from left to right, and nothing covers anything', () => {
  const links = pairs('load>web', 'web>catalog', 'web>checkout', 'catalog>store', 'checkout>store', 'load>store');
  const { nodes, paths, width, height } = layout(['load', 'web', 'catalog', 'checkout', 'store', 'idle'], links);
  assert.equal(nodes.size, 6);
  for (const { source, destination } of links)
    assert.ok((nodes.get(source)?.x ?? 0) < (nodes.get(destination)?.x ?? 0), `${source} to ${destination}`);
  assert.deepEqual(overlaps(nodes), []);
  assert.equal(nodes.get('catalog')?.x, nodes.get('checkout')?.x);
  assert.ok((nodes.get('idle')?.y ?? 0) > Math.max(...['web', 'checkout'].map((id) => nodes.get(id)?.y ?? 0)));
  for (const { x, y } of nodes.values()) {
    assert.ok(x - NODE_WIDTH / 2 >= 0 && x + NODE_WIDTH / 2 <= width);
    assert.ok(y - NODE_HEIGHT / 2 >= 0 && y + NODE_HEIGHT / 2 <= height);
  }
  const long = paths.at(-1) ?? [];
  assert.equal(long.length, 4, 'a long link bends around the workloads between');
});

test('links that go round in a circle, or to themselves, end the layout too', () => {
  const { nodes, paths } = layout(['a', 'b', 'c'], pairs('a>b', 'b>c', 'c>a', 'b>b'));
  assert.equal(nodes.size, 3);
  assert.equal(paths.length, 4);
  assert.deepEqual(overlaps(nodes), []);
});

test('workloads without links stand in rows', () => {
  const ids = Array.from({ length: 12 }, (_, index) => `w${index}`);
  const { nodes } = layout(ids, []);
  assert.deepEqual(overlaps(nodes), []);
  assert.equal(new Set([...nodes.values()].map(({ y }) => y)).size, 3);
  assert.deepEqual(layout([], []), { nodes: new Map(), paths: [], width: 14, height: 14 });
});

test('lines cross no more than they must', () => {
  const { nodes } = layout(['a', 'b', 'x', 'y'], pairs('a>y', 'b>x'));
  const side = (first: string, second: string): number =>
    Math.sign((nodes.get(first)?.y ?? 0) - (nodes.get(second)?.y ?? 0));
  assert.equal(side('a', 'b'), side('y', 'x'));
});
