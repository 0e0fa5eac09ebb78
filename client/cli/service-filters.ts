import { InvalidArgumentError, Option, type Command } from 'commander';
import type { ListServicesRequest } from '../../shared/gen/fairlead/v1/control_service.ts';
import type { PlacementStrategy } from '../../shared/gen/fairlead/v1/service.ts';
import { strategies } from './spec.ts';
import { collect, collectWords } from './values.ts';

/** What services are asked for by. */
export interface ServiceFilterFlags {
  readonly label?: readonly string[];
  readonly strategy?: readonly PlacementStrategy[];
  readonly node?: readonly string[];
}

/** Adds the flags by which services are asked for. */
export function addServiceFilters(command: Command): Command {
  return command
    .addOption(
      new Option('--label <key[=value]>', 'only with this label; repeated: with all').argParser(
        collect(String),
      ),
    )
    .addOption(
      new Option('--strategy <strategy>', 'only of this strategy; repeated: of any')
        .choices(Object.keys(strategies))
        .argParser(collect(readStrategy)),
    )
    .addOption(
      new Option('--node <node>', 'only with a container on this node; repeated: on any').argParser(
        collectWords,
      ),
    );
}

/** The request that flags and names of services stand for. */
export function serviceFilterOf(
  { label = [], strategy = [], node = [] }: ServiceFilterFlags,
  names: readonly string[],
): ListServicesRequest {
  return {
    services: [...names],
    labels: [...label],
    strategies: [...strategy],
    nodes: [...node],
  };
}

function readStrategy(text: string): PlacementStrategy {
  const strategy = Object.hasOwn(strategies, text) ? strategies[text] : undefined;
  if (strategy !== undefined) return strategy;
  throw new InvalidArgumentError(`It is one of ${Object.keys(strategies).join(', ')}.`);
}
