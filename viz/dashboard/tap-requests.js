// Puts the events of a tap together to requests. Pure: knows no page.

/** @typedef {import('../tap/event.ts').TapJson} TapEvent */
/**
 * @typedef {object} RequestRow
 * @property {string} time
 * @property {string} source
 * @property {string} destination
 * @property {string} method
 * @property {string} authority
 * @property {string} path
 * @property {string} status
 * @property {'open' | 'good' | 'fair' | 'bad'} outcome
 * @property {number | undefined} latencyMs
 * @property {boolean} isSecured
 */

const ROWS_MAX = 200;
/** Unknown, DeadlineExceeded, Internal, Unavailable, DataLoss. Source: linkerd2 `viz/cmd/top.go`. */
const FAILED_CODES = new Set([2, 4, 13, 14, 15]);

export class Requests {
  total = 0;
  /** The newest first. @type {RequestRow[]} */
  rows = [];
  /** Those without an end, of the rows that are kept. @type {Map<string, RequestRow>} */
  #open = new Map();

  /** @param {TapEvent} event */
  add(event) {
    const { requestInitEvent: begin, responseInitEvent: response, responseEndEvent: end } = event;
    const id = (begin ?? response ?? end)?.id;
    const key = `${id?.base}:${id?.stream}`;
    if (begin !== undefined) {
      const isInbound = event.proxyDirection === 'INBOUND';
      const row = {
        time: new Date().toLocaleTimeString(undefined, { hour12: false }),
        source: nameOf(event.source),
        destination: nameOf(event.destination),
        method: begin.method,
        authority: begin.authority,
        path: begin.path,
        status: '…',
        outcome: /** @type {RequestRow['outcome']} */ ('open'),
        latencyMs: undefined,
        isSecured: (isInbound ? event.source : event.destination).metadata['tls'] === 'true',
      };
      this.total += 1;
      this.rows.unshift(row);
      this.#open.set(key, row);
      this.rows.length = Math.min(this.rows.length, ROWS_MAX);
      if (this.#open.size > ROWS_MAX) this.#open.delete(this.#open.keys().next().value ?? '');
      return;
    }
    const row = this.#open.get(key);
    if (row === undefined) return; // began before the tap, or is no longer shown
    if (response !== undefined) {
      row.status = String(response.httpStatus);
      row.latencyMs = milliseconds(response.sinceRequestInit);
      row.outcome = response.httpStatus >= 500 ? 'bad' : response.httpStatus >= 400 ? 'fair' : 'good';
    }
    if (end === undefined) return;
    this.#open.delete(key);
    const code = end.grpcStatusCode;
    if (code !== undefined && code !== 0) row.status = `gRPC ${code}`;
    if (end.resetErrorCode !== undefined) row.status = 'reset';
    if (end.resetErrorCode !== undefined || FAILED_CODES.has(code ?? 0)) row.outcome = 'bad';
  }
}

/** @param {TapEvent['source']} end */
function nameOf({ ip, metadata }) {
  return metadata['pod'] ?? ip;
}

/** @param {{ seconds: number, nanos: number }} duration */
function milliseconds({ seconds, nanos }) {
  return seconds * 1000 + nanos / 1e6;
}
