import './lean-runtime.ts';
import { runDaemon } from '../../shared/daemon.ts';
import { proxyAgentFlags } from './config.ts';
import { run } from './main.ts';
import { agentVersion } from './version.ts';

void runDaemon(run, proxyAgentFlags, agentVersion);
