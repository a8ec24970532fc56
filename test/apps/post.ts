// Posts a body a number of times, prints how many were answered 200, and ends.
const [url = '', body = '', countText = '1'] = process.argv.slice(2);

async function main(): Promise<void> {
  let ok = 0;
  for (let index = 0; index < Number(countText); index += 1) {
    const response = await fetch(url, { method: 'POST', body, signal: AbortSignal.timeout(20_000) });
    await response.text();
    if (response.status === 200) ok += 1;
    else process.stdout.write(`${response.status} ${response.headers.get('l5d-proxy-error') ?? ''}\n`);
  }
  process.stdout.write(`${ok} of ${countText} answered 200\n`);
}
void main();
