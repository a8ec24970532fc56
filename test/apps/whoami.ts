// Asks a server which client identity it saw, prints status and identity, and ends.
const [url = ''] = process.argv.slice(2);

async function main(): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(20_000) });
  await response.text();
  process.stdout.write(`${response.status} ${response.headers.get('x-seen-client-id')}\n`);
}
void main();
