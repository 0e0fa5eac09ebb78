// Loaded into the servers that are measured: SIGUSR2 collects garbage and gives back what malloc keeps for later, so
// that what is counted is what is held.
process.on('SIGUSR2', () => {
  globalThis.gc();
  globalThis.gc();
  process.dlopen({ exports: {} }, process.env.FAIRLEAD_BENCH_TRIM);
});
