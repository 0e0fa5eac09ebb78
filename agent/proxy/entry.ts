import './lean-runtime.ts';
import { runDaemon } from '../../shared/process.ts';
import { proxyAgentFlags } from './config.ts';
import { run } from './main.ts';
import { agentVersion } from './version.ts';

void runDaemon(run, proxyAgentFlags, agentVersion);
