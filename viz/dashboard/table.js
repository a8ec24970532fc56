// Tables that can be sorted by any column.
import { focusKey, h } from './dom.js';

/** @typedef {import('./dom.js').Child} Child */

/**
 * @template R
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: R) => Child} cell
 * @property {(row: R) => string | number | undefined} [sort]  absent: not by this one
 * @property {boolean} [isNumber]
 */

/** Which column each table is sorted by, kept while the page is open. @type {Map<string, { title: string, isDown: boolean }>} */
const sorting = new Map();

/**
 * @template R
 * @param {string} name  of the table
 * @param {readonly Column<R>[]} columns
 * @param {readonly R[]} rows
 * @returns {HTMLElement}
 */
export function table(name, columns, rows) {
  const place = h('div', {
    class: 'table-frame',
    'data-scroll': true,
    tabindex: 0,
    role: 'region',
    'aria-label': name,
  });
  const draw = () => {
    const order = sorting.get(name);
    const by = columns.find(({ title }) => title === order?.title)?.sort;
    const sorted = by === undefined ? rows : [...rows].sort((a, b) => compare(by(a), by(b)) * (order?.isDown ? -1 : 1));
    const heads = columns.map((column) => {
      const isSorted = order?.title === column.title;
      const direction = isSorted ? (order.isDown ? 'descending' : 'ascending') : 'none';
      const className = column.isNumber ? 'number' : '';
      if (column.sort === undefined) return h('th', { scope: 'col', class: className }, column.title);
      const button = h(
        'button',
        {
          type: 'button',
          'data-key': `${name}-${column.title}`,
          onclick: () => {
            sorting.set(name, { title: column.title, isDown: isSorted ? !order.isDown : column.isNumber === true });
            draw();
            focusKey(place, `${name}-${column.title}`);
          },
        },
        column.title,
        h('span', { class: 'sort-sign', 'aria-hidden': 'true' }, isSorted ? (order.isDown ? '↓' : '↑') : ''),
      );
      return h('th', { scope: 'col', class: className, 'aria-sort': direction }, button);
    });
    place.replaceChildren(
      h(
        'table',
        {},
        h('thead', {}, h('tr', {}, ...heads)),
        h(
          'tbody',
          {},
          ...sorted.map((row) =>
            h(
              'tr',
              {},
              ...columns.map(({ cell, isNumber }) => h('td', { class: isNumber ? 'number' : '' }, cell(row))),
            ),
          ),
        ),
      ),
    );
  };
  draw();
  return place;
}

/** What is absent comes last. @param {string | number | undefined} a @param {string | number | undefined} b */
function compare(a, b) {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1;
  return typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b));
}
