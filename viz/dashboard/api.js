// What the page asks of the process that served it.

/** @typedef {import('../metrics-api/server.ts').OverviewAnswer} Overview */
/** @typedef {import('../web/findings.ts').FindingsAnswer} Findings */
/** @typedef {import('../tap/event.ts').TapJson} TapEvent */
/** @typedef {import('../cli/tap-stream.ts').TapQuestion} TapQuestion */

const TIMEOUT_MS = 20_000;
const KEY = 'tulle-dashboard-key';

/** Takes the key for taps out of the address, where it would be seen and copied, and keeps it for this tab. */
export function takeKey() {
  const key = /[#&]key=([\w-]+)/.exec(location.hash)?.[1];
  if (key === undefined) return;
  sessionStorage.setItem(KEY, key);
  history.replaceState(null, '', '#/');
}

/** @param {Response} response */
async function messageOf(response) {
  const text = await response.text();
  try {
    return /** @type {{ message?: string }} */ (JSON.parse(text)).message ?? text;
  } catch {
    return text.slice(0, 300) || `status ${response.status}`;
  }
}

/** @param {string} path */
async function get(path) {
  let response;
  try {
    response = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    const isLate = error instanceof DOMException && error.name === 'TimeoutError';
    throw new Error(
      isLate
        ? `no answer within ${TIMEOUT_MS / 1000} s`
        : 'the connection is gone: is `tulle viz dashboard` still running? Start it again and open its new address',
      { cause: error },
    );
  }
  if (!response.ok) throw new Error(await messageOf(response));
  return response.json();
}

/**
 * @param {string} namespace  '' for all
 * @param {string} windowMs
 * @returns {Promise<Overview>}
 */
export function getOverview(namespace, windowMs) {
  const query = new URLSearchParams({ windowMs, ...(namespace === '' ? {} : { namespace }) });
  return get(`/api/overview?${query}`);
}

/** @returns {Promise<Findings>} */
export function getFindings() {
  return get('/api/findings');
}

/**
 * Taps until the signal or the other side ends it.
 *
 * @param {TapQuestion} question
 * @param {AbortSignal} signal
 * @param {(line: { event?: TapEvent, note?: string }) => void} onLine
 */
export async function tap(question, signal, onLine) {
  const response = await fetch('/tap', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-tulle-key': sessionStorage.getItem(KEY) ?? '' },
    body: JSON.stringify(question),
    signal,
  });
  if (response.status === 404)
    throw new Error(
      'a tap needs your Kubernetes rights, which this page was not opened with: run `tulle viz dashboard`',
    );
  if (!response.ok) throw new Error(await messageOf(response));
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value = '' } = (await reader?.read()) ?? { done: true };
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(JSON.parse(line));
  }
}
