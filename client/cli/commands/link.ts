import type { Command } from 'commander';
import { connected, type Invocation } from '../invocation.ts';
import { serviceKind } from '../kinds.ts';
import { mutate } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { required } from '../required.ts';
import { readLink } from '../values.ts';

/** Adds the commands of links. */
export function configure(link: Command): void {
  addMutationFlags(
    link
      .command('add')
      .description('link a service to another; a load balancer balances it at once')
      .argument('<service>', 'the service that uses the other')
      .argument('<target[:alias]>', 'the service that is used', (text: string) => {
        readLink(text);
        return text;
      }),
    { waits: true, lock: true },
  ).action(
    connected<MutationFlags>(async (run) => {
      const [service = '', target = ''] = run.args;
      const { client, signal } = run;
      await mutate(run, {
        doing: `linking ${service} to ${target}`,
        call: (options) =>
          client.control.addLink({ service, link: readLink(target), options }, { signal }),
        ...linkResult(run, service),
      });
    }),
  );

  addMutationFlags(
    link
      .command('rm')
      .description('take a link away')
      .argument('<service>', 'the service that uses the other')
      .argument('<alias>', 'alias of the link, which is the name of the other service by default'),
    { waits: true, lock: true },
  ).action(
    connected<MutationFlags>(async (run) => {
      const [service = '', alias = ''] = run.args;
      const { client, signal } = run;
      await mutate(run, {
        doing: `unlinking ${alias} from ${service}`,
        call: (options) => client.control.removeLink({ service, alias, options }, { signal }),
        ...linkResult(run, service),
      });
    }),
  );
}

function linkResult({ client, signal }: Invocation<MutationFlags>, service: string) {
  return {
    kind: serviceKind,
    result: async () =>
      required((await client.control.getService({ service }, { signal })).service),
  };
}
