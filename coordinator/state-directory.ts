import { givenValue, type ConfigSources } from '../shared/config.ts';

/** Where the coordinator keeps its files unless it is told otherwise. */
export const defaultStateDirectory = '/var/lib/fairlead/coordinator';

/** The same as in the configuration, before there is one; undefined if that will be wrong. */
export function stateDirectoryOf(sources: ConfigSources): string | undefined {
  try {
    const given = givenValue('stateDir', sources) ?? defaultStateDirectory;
    return typeof given === 'string' ? given : undefined;
  } catch {
    return undefined;
  }
}
