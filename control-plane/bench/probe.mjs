// Loaded beside the program of a process that is measured (`--import`): collects garbage when its parent asks for it. Nothing of
// this is in the program. Not TypeScript: the loader of that would be in what is measured.
process.on('message', () => {
  globalThis.gc();
  globalThis.gc();
  process.send(process.memoryUsage());
});
process.channel.unref();
