// Loaded into the servers that are measured: SIGUSR2 collects garbage, so that what is counted is what is held.
process.on('SIGUSR2', () => {
  globalThis.gc();
  globalThis.gc();
});
