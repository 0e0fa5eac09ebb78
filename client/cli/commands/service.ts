import { Option, type Command } from 'commander';
import { Status } from 'nice-grpc-common';
import type { Action, MutationOptions, Plan } from '../../../shared/gen/fairlead/v1/action.ts';
import type { Route } from '../../../shared/gen/fairlead/v1/route.ts';
import { ServiceSpec, type Service } from '../../../shared/gen/fairlead/v1/service.ts';
import { FairleadError } from '../../fairlead-error.ts';
import { CommandFailure, exitStatus } from '../exit-status.ts';
import { connected, type Invocation } from '../invocation.ts';
import { containerKind, serviceKind } from '../kinds.ts';
import { addListFlags, printList, type ListFlags } from '../listing.ts';
import { addLogFlags, printLog, rangeOf, type LogFlags } from '../logs.ts';
import { mutate, mutateEach, type Mutation } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { required } from '../required.ts';
import { addServiceFilters, serviceFilterOf, type ServiceFilterFlags } from '../service-filters.ts';
import {
  addListEditFlags,
  addSpecFlags,
  type ListEditFlags,
  type SpecFlags,
} from '../spec-flags.ts';
import { patchOf, specOf } from '../spec.ts';
import { readCount } from '../values.ts';
import { addRebalance } from './rebalance.ts';
import { addRevisionViews } from './revisions.ts';
import { retryOnVersionMismatch } from '../version-lock.ts';

type Run<Flags = unknown> = Invocation<MutationFlags & Flags>;
type CreateFlags = SpecFlags & { readonly name: string; readonly fromDockercloud?: boolean };
type SetFlags = SpecFlags & ListEditFlags;

interface ServiceAnswer {
  readonly service: Service | undefined;
  readonly action: Action | undefined;
  readonly plan: Plan | undefined;
}

/** Adds the commands of services. */
export function configure(service: Command): void {
  addDefinitions(service);
  addViews(service);
  addRevisionViews(service);
  addLogs(service);
  addSet(service);
  addVerbs(service);
  addRollback(service);
  addRebalance(service);
}

function addDefinitions(service: Command): void {
  const define = (name: string, description: string, start: boolean) => {
    const command = service
      .command(name)
      .description(description)
      .argument('<image>', 'image reference, repository[:tag]')
      .argument('[command...]', 'arguments of its entry point; after -- if they begin with a dash')
      .addOption(new Option('-n, --name <name>', 'name of the service').makeOptionMandatory())
      .addOption(
        new Option(
          '--from-dockercloud',
          'read VIRTUAL_HOST and its like among the variables, and say what becomes of each',
        ),
      );
    addMutationFlags(addSpecFlags(command), { waits: true, lock: false }).action(
      connected<MutationFlags & CreateFlags>(async (run) => {
        await create(run, start);
      }),
    );
    return command;
  };
  define('create', 'define a service', false);
  define('run', 'define a service and start it', true).addHelpText(
    'after',
    `
Examples:
  fairlead service run --name web dockercloud/hello-world --replicas 8 \\
      --strategy high-availability --tag web --publish 80
  fairlead service run --name lb fairlead/haproxy --publish 80:80 --link web --role proxy
  fairlead service run --name worker registry/worker:3 --readiness none -- --queue high`,
  );
}

async function create(run: Run<CreateFlags>, start: boolean): Promise<void> {
  const { client, args, signal } = run;
  const flags = await withImported(run);
  const [image = '', ...command] = args;
  await mutate(run, {
    ...serviceMutation(run, flags.name),
    doing: `${start ? 'starting' : 'creating'} ${flags.name}`,
    call: (options) =>
      client.control.createService(
        { name: flags.name, spec: specOf(flags, image, command), start, options },
        { signal },
      ),
  });
}

/** The flags with what settings of dockercloud/haproxy say; a flag that is given counts before them. */
async function withImported(run: Run<CreateFlags>): Promise<CreateFlags> {
  const { flags, output } = run;
  if (flags.fromDockercloud !== true) return flags;
  const { importDockercloud } = await import('../dockercloud-settings.ts');
  const given = [...(flags.envFile ?? []), ...(flags.env ?? [])];
  const isLoadBalancer = flags.role === 'proxy';
  const {
    flags: imported,
    report,
    secrets,
    isFailover,
  } = importDockercloud(given, {
    isLoadBalancer,
  });
  for (const line of report) output.note(line);
  const isBackup = isFailover && (await standsIn(run, (imported.route ?? []).flat()));
  const lists = flags as { readonly route?: readonly (readonly Route[])[] };
  const kept = (pairs: SpecFlags['env'] = []) =>
    pairs.filter(([name]) => !secrets.includes(name.toUpperCase()));
  return {
    ...{ ...imported, ...flags },
    ...{ route: [...(isBackup ? [] : (imported.route ?? [])), ...(lists.route ?? [])] },
    envFile: kept(flags.envFile),
    env: [...kept(flags.env), ...(imported.env ?? [])],
  };
}

/** Whether another service has the routes of this one, and this one as its backup from now on. */
async function standsIn(run: Run<CreateFlags>, routes: readonly Route[]): Promise<boolean> {
  const { client, flags, output, signal } = run;
  const { takeOverFailover } = await import('../dockercloud-failover.ts');
  const failover = { name: flags.name, routes, dryRun: flags.dryRun === true };
  const { isBackup, words } = await takeOverFailover(failover, client, signal);
  output.note(words);
  return isBackup;
}

function addViews(service: Command): void {
  addServiceFilters(addListFlags(service.command('ls').description('list services')))
    .argument('[service...]', 'only these')
    .action(
      connected<ListFlags & ServiceFilterFlags>(async (run) => {
        const { client, flags, args } = run;
        const request = serviceFilterOf(flags, args);
        await printList(run, {
          kind: serviceKind,
          field: 'services',
          list: async () =>
            (await client.control.listServices(request, { signal: run.signal })).services,
          watch: (signal) => client.watchServices(request, signal),
        });
      }),
    );

  service
    .command('inspect')
    .description('show all that is known of services')
    .argument('<service...>', 'name or id')
    .action(
      connected(async ({ client, output, args, signal }) => {
        const found = await Promise.all(
          args.map(async (name) =>
            required((await client.control.getService({ service: name }, { signal })).service),
          ),
        );
        output.allDetails(serviceKind, found);
      }),
    );

  addListFlags(service.command('ps').description('list the containers of services'))
    .argument('<service...>', 'name or id')
    .action(
      connected<ListFlags>(async (run) => {
        const { client, args, signal } = run;
        // A list of nothing would hide a mistyped name.
        await Promise.all(
          args.map((name) => client.control.getService({ service: name }, { signal })),
        );
        const request = { services: [...args] };
        await printList(run, {
          kind: containerKind,
          field: 'containers',
          list: async () => (await client.control.listContainers(request, { signal })).containers,
          watch: (scope) => client.watchContainers(request, scope),
        });
      }),
    );
}

function addLogs(service: Command): void {
  addLogFlags(service.command('logs'))
    .description('show what the containers of a service write, in the order of time')
    .argument('<service>', 'name or id')
    .action(
      connected<LogFlags>(async (run) => {
        const [name = ''] = run.args;
        const request = { service: name, ...rangeOf(run.flags) };
        await printLog(run, run.client.serviceLogs(request, run.signal), { named: true });
      }),
    );
}

function addSet(service: Command): void {
  const command = service
    .command('set')
    .description('change the definition of a service; what needs new containers is rolled out')
    .argument('<service>', 'name or id')
    .argument(
      '[command...]',
      'new arguments of its entry point; after -- if they begin with a dash',
    )
    .addOption(new Option('--image <image>', 'image reference, repository[:tag]'));
  addMutationFlags(addListEditFlags(addSpecFlags(command)), { waits: true, lock: true })
    .addHelpText(
      'after',
      `
Examples:
  fairlead service set web --image registry/web:2 --parallelism 2
  fairlead service set web --image registry/web:2 --canary 1
  fairlead service set web --env COLOUR=green --env-rm SHAPE
  fairlead service set web --clear tag --tag eu --avoid-tag old
  fairlead service set web --image registry/web:2 --dry-run`,
    )
    .action(connected<MutationFlags & SetFlags>(set));
}

async function set(run: Run<SetFlags>): Promise<void> {
  const { flags, args } = run;
  const [name = '', ...command] = args;
  await mutate(run, {
    ...serviceMutation(run, name),
    doing: `changing ${name}`,
    call: (options) => retryOnVersionMismatch(flags, () => patch(run, { name, command }, options)),
  });
}

async function patch(
  { client, flags, signal }: Run<SetFlags>,
  { name, command }: { readonly name: string; readonly command: readonly string[] },
  options: MutationOptions,
): Promise<ServiceAnswer> {
  const found = await client.control.getService({ service: name }, { signal });
  const { spec: now = ServiceSpec.fromPartial({}), version } = required(found.service);
  const { spec, mask } = patchOf(flags, command, now);
  if (mask.length === 0) {
    throw new CommandFailure(exitStatus.usage, 'nothing to change: give at least one flag', [
      'see: fairlead service set --help',
    ]);
  }
  return await client.control.updateService(
    {
      service: name,
      spec,
      updateMask: [...mask],
      options: { ...options, version: flags.ifVersion ?? version },
    },
    { signal },
  );
}

interface Verb {
  readonly name: string;
  readonly doing: string;
  readonly description: string;
  readonly gone?: 'removed';
  readonly call: (
    run: Run,
    request: { readonly service: string; readonly options: MutationOptions },
  ) => Promise<ServiceAnswer>;
}

const verbs: readonly Verb[] = [
  {
    name: 'start',
    doing: 'starting',
    description: 'start the containers of services',
    call: ({ client, signal }, request) => client.control.startService(request, { signal }),
  },
  {
    name: 'stop',
    doing: 'stopping',
    description: 'drain and stop the containers of services; they are kept',
    call: ({ client, signal }, request) => client.control.stopService(request, { signal }),
  },
  {
    name: 'redeploy',
    doing: 'redeploying',
    description: 'replace every container by a fresh one of the same definition',
    call: ({ client, signal }, request) => client.control.redeployService(request, { signal }),
  },
  {
    name: 'pause',
    doing: 'pausing',
    description: 'pause the rollout of services: what has begun goes on, nothing else begins',
    call: ({ client, signal }, request) => client.control.pauseService(request, { signal }),
  },
  {
    name: 'resume',
    doing: 'resuming',
    description: 'let a rollout that is paused or failed go on',
    call: ({ client, signal }, request) => client.control.resumeService(request, { signal }),
  },
  {
    name: 'promote',
    doing: 'promoting',
    description: 'bring the revision that canaries try to all containers of services',
    call: ({ client, signal }, request) => client.control.promoteService(request, { signal }),
  },
  {
    name: 'rm',
    doing: 'removing',
    description: 'drain, stop and remove services with their containers',
    call: ({ client, signal }, request) => client.control.removeService(request, { signal }),
    gone: 'removed',
  },
];

function addVerbs(service: Command): void {
  addMutationFlags(service.command('scale').description('change the number of containers'), {
    waits: true,
    lock: true,
  })
    .argument('<service>', 'name or id')
    .argument('<replicas>', 'number of containers', readCount)
    .action(
      connected<MutationFlags>(async (run) => {
        const [name = '', replicas] = run.args;
        const request = { service: name, replicas: Number(replicas) };
        await mutate(run, {
          ...serviceMutation(run, name),
          doing: `scaling ${name} to ${request.replicas}`,
          call: (options) =>
            run.client.control.scaleService({ ...request, options }, { signal: run.signal }),
        });
      }),
    );

  for (const { name: verb, doing, description, call, gone } of verbs) {
    addMutationFlags(service.command(verb).description(description), { waits: true, lock: true })
      .argument('<service...>', 'name or id')
      .action(
        connected<MutationFlags>(async (run) => {
          await mutateEach(run, run.args, (name) => ({
            ...serviceMutation(run, name),
            doing: `${doing} ${name}`,
            call: (options) => call(run, { service: name, options }),
            ...(gone === undefined ? {} : { gone }),
          }));
        }),
      );
  }
}

function addRollback(service: Command): void {
  addMutationFlags(
    service
      .command('rollback')
      .description('go back to a definition that the service had; count and links stay'),
    { waits: true, lock: true },
  )
    .argument('<service>', 'name or id')
    .argument('[revision]', 'where to; without it, what ran before', readCount)
    .action(
      connected<MutationFlags>(async (run) => {
        const [name = '', revision = 0] = run.args;
        const request = { service: name, revision: Number(revision) };
        await mutate(run, {
          ...serviceMutation(run, name),
          doing: `rolling ${name} back`,
          call: (options) =>
            run.client.control.rollbackService({ ...request, options }, { signal: run.signal }),
        });
      }),
    );
}

/** What all changes of a service have in common: they end with the service as it then is. */
function serviceMutation(
  { client, signal }: Run,
  name: string,
): Pick<Mutation<ServiceAnswer, Service>, 'kind' | 'result'> {
  return {
    kind: serviceKind,
    result: async ({ service }) => {
      try {
        const id = service?.id ?? name;
        return required((await client.control.getService({ service: id }, { signal })).service);
      } catch (error) {
        // It is removed, by this command or meanwhile: what it last was.
        if (error instanceof FairleadError && error.code === Status.NOT_FOUND) {
          return required(service);
        }
        throw error;
      }
    },
  };
}
