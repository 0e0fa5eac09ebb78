import './lean-runtime.ts';
import { runDaemon } from '../../shared/daemon.ts';
import { nodeAgentFlags } from './config.ts';
import { run } from './main.ts';
import { agentVersion } from './version.ts';

void runDaemon(run, nodeAgentFlags, agentVersion);
