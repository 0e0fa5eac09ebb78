import { readFile } from 'node:fs/promises';
import { Option, type Command } from 'commander';
import { messageOf } from '../../../shared/errors.ts';
import { certificateKind } from '../certificate-kind.ts';
import { CommandFailure, exitStatus } from '../exit-status.ts';
import { connected, type Invocation } from '../invocation.ts';
import { addListFlags, printList, type ListFlags } from '../listing.ts';
import { mutate, mutateEach } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { required } from '../required.ts';
import { collectWords } from '../values.ts';

interface PutFlags {
  readonly chain: string;
  readonly key?: string;
  readonly service?: readonly string[];
}

/** Adds the commands of certificates. */
export function configure(certificate: Command): void {
  addPut(certificate);
  addViews(certificate);
  addMutationFlags(
    certificate
      .command('rm')
      .description('remove certificates and their keys; load balancers show them no more'),
    { waits: false, lock: true },
  )
    .argument('<certificate...>', 'name or id')
    .action(
      connected<MutationFlags>(async (run) => {
        const { client, args, signal } = run;
        await mutateEach(run, args, (name) => ({
          doing: `removing ${name}`,
          call: (options) =>
            client.control.removeCertificate({ certificate: name, options }, { signal }),
          kind: certificateKind,
          result: (answer) => Promise.resolve(required(answer.certificate)),
          gone: 'removed',
        }));
      }),
    );
}

function addPut(certificate: Command): void {
  const command = certificate
    .command('put')
    .description('put a certificate under a name, or replace the one there, without a break')
    .argument('<name>', 'name, such as example.com')
    .addOption(
      new Option(
        '--chain <file>',
        'certificate of the server and those of its issuers, PEM; may hold the key too',
      ).makeOptionMandatory(),
    )
    .addOption(new Option('--key <file>', 'private key, PEM, without a passphrase'))
    .addOption(
      new Option(
        '--service <service>',
        'only for this load balancer, repeatable; for all that serve its hosts if not given',
      ).argParser(collectWords),
    );
  addMutationFlags(command, { waits: false, lock: true })
    .addHelpText(
      'after',
      `
Examples:
  fairlead certificate put example.com --chain fullchain.pem --key privkey.pem
  fairlead certificate put internal --chain internal.pem --service lb`,
    )
    .action(connected<MutationFlags & PutFlags>(put));
}

function addViews(certificate: Command): void {
  addListFlags(
    certificate.command('ls').description('list certificates and when they expire'),
  ).action(
    connected<ListFlags>(async (run) => {
      const { client } = run;
      await printList(run, {
        kind: certificateKind,
        field: 'certificates',
        list: async () =>
          (await client.control.listCertificates({}, { signal: run.signal })).certificates,
        watch: (signal) => client.watchCertificates({}, signal),
      });
    }),
  );

  certificate
    .command('inspect')
    .description('show all that is known of certificates; keys are shown to nobody')
    .argument('<certificate...>', 'name or id')
    .action(
      connected(async ({ client, output, args, signal }) => {
        const found = await Promise.all(
          args.map(async (name) =>
            required(
              (await client.control.getCertificate({ certificate: name }, { signal })).certificate,
            ),
          ),
        );
        output.allDetails(certificateKind, found);
      }),
    );
}

async function put(run: Invocation<MutationFlags & PutFlags>): Promise<void> {
  const { client, flags, args, signal } = run;
  const [name = ''] = args;
  const request = {
    name,
    chainPem: await fileOf(flags.chain),
    privateKeyPem: flags.key === undefined ? '' : await fileOf(flags.key),
    services: [...(flags.service ?? [])],
  };
  await mutate(run, {
    doing: `putting ${name}`,
    call: (options) => client.control.putCertificate({ ...request, options }, { signal }),
    kind: certificateKind,
    result: (answer) => Promise.resolve(required(answer.certificate)),
  });
}

async function fileOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new CommandFailure(exitStatus.usage, `the file cannot be read: ${messageOf(error)}`);
  }
}
