// Asks a URL so many times, one after the other, and says what came back: `ask COUNT [METHOD] URL`. One answer is shown whole.
const [count = '1', ...rest] = process.argv.slice(2);
const url = rest.at(-1) ?? '';
const method = rest.length > 1 ? rest[0] : 'GET';
const TIMEOUT_MS = 10_000;

/** @returns the status, why the proxy failed the request if it did, and the body */
async function ask(): Promise<{ readonly result: string; readonly body: string }> {
  try {
    const response = await fetch(url, { method: method ?? 'GET', signal: AbortSignal.timeout(TIMEOUT_MS) });
    const reason = response.headers.get('l5d-proxy-error');
    const body = await response.text();
    return { result: `${response.status}${reason === null ? '' : ` l5d-proxy-error: ${reason}`}`, body };
  } catch (error) {
    const { message, cause } = error as Error;
    return { result: cause instanceof Error ? cause.message : message, body: '' };
  }
}

/** `catalog-v2` of `{"from":"catalog-v2-5c9b7d-x2k4q"}`: who answered, without what tells its pods apart. */
function workloadOf(body: string): string | undefined {
  return /"from":"([^"]+?)-[a-z0-9]+-[a-z0-9]{5}"/.exec(body)?.[1];
}

function countUp(counts: Map<string, number>, key: string | undefined): void {
  if (key !== undefined) counts.set(key, (counts.get(key) ?? 0) + 1);
}

function listed(counts: ReadonlyMap<string, number>): string {
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([key, times]) => `${times} × ${key}`)
    .join(', ');
}

/** The fields of a JSON object, one a line; any other text as it is. */
function readable(body: string): string {
  try {
    const fields = Object.entries(JSON.parse(body) as Record<string, unknown>);
    return fields.map(([name, value]) => `  ${name}: ${String(value)}\n`).join('');
  } catch {
    return body === '' ? '' : `  ${body.trim()}\n`;
  }
}

async function main(): Promise<void> {
  if (count === '1') {
    const { result, body } = await ask();
    process.stdout.write(`${result}\n${readable(body)}`);
    return;
  }
  const results = new Map<string, number>();
  const workloads = new Map<string, number>();
  for (let sent = 0; sent < Number(count); sent += 1) {
    const { result, body } = await ask();
    countUp(results, result);
    countUp(workloads, workloadOf(body));
  }
  const answeredBy = workloads.size > 1 ? `, answered by ${listed(workloads)}` : '';
  process.stdout.write(`${count} requests: ${listed(results)}${answeredBy}\n`);
}
void main();
