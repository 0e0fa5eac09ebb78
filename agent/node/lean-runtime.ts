import { setFlagsFromString } from 'node:v8';

// Imported first, before anything is compiled. An agent waits nearly all of the time: the optimizing
// compiler would bring 5 MB of its own code into memory to speed up what takes 0.3 % of a core, and a young
// generation that grows while the program is loaded keeps another 4 MB.
setFlagsFromString('--no-opt');
setFlagsFromString('--semi-space-growth-factor=1');
setFlagsFromString('--no-flush-bytecode');
