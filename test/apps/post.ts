// Posts a body a number of times, prints how many were answered 200, and ends, or stays with `stay`, so that its proxy does too.
const [urls = '', body = '', countText = '1', isStaying] = process.argv.slice(2);

async function post(url: string): Promise<boolean> {
  const response = await fetch(url, { method: 'POST', body, signal: AbortSignal.timeout(20_000) });
  await response.text();
  if (response.status !== 200)
    process.stdout.write(`${response.status} ${response.headers.get('l5d-proxy-error') ?? ''}\n`);
  return response.status === 200;
}

async function main(): Promise<void> {
  let ok = 0;
  const all = urls.split(',').flatMap((url) => Array.from({ length: Number(countText) }, () => url));
  for (const url of all) if (await post(url)) ok += 1;
  process.stdout.write(`${ok} of ${all.length} answered 200\n`);
  if (isStaying === 'stay') setInterval(() => undefined, 60_000);
}
void main();
