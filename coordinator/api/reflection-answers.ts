import { ServerReflection, ServerReflectionService } from 'nice-grpc-server-reflection';
import { contractBytes } from './contract.ts';

/** How reflection requests are read and answered: a module of its own, so that it is loaded when one comes. */
export const codec = ServerReflectionService.serverReflectionInfo;

/** Answers for the services that are named, by the contract. */
export function reflectionOf(services: readonly string[]) {
  return ServerReflection(contractBytes(), [...services]);
}
