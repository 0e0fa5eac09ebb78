import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { prepareImages } from '../lab/images.ts';
import { Lab } from '../lab/lab.ts';
import type { LabHost } from '../lab/lab-host.ts';
import { programs } from './programs.ts';
import type { Site, SiteHost } from './site.ts';

/** Image of the sample web service. */
export const helloImage = 'fairlead/hello-world';
/** Image of the load balancer. */
export const proxyImage = 'fairlead/haproxy';

export interface LabSiteOptions {
  readonly hosts: number;
  readonly label: string;
}

/** A site in a lab of its own, whose engines have the images of the tutorial. */
export async function startLabSite(
  { hosts, label }: LabSiteOptions,
  signal: AbortSignal,
): Promise<Site & { readonly lab: Lab }> {
  const images = await prepareImages(
    { hello: helloImage, proxy: { tag: proxyImage, bundlePath: programs.proxy } },
    signal,
  );
  const lab = await Lab.start({ hosts, label, images }, signal);
  return labSite(lab);
}

/** The same for a lab that is there already. */
export function labSite(lab: Lab): Site & { readonly lab: Lab } {
  const labHosts = new Map(lab.hosts.map((host) => [host.name, host]));
  return {
    lab,
    id: lab.id,
    caveat: '',
    gateway: lab.gateway,
    directory: lab.directory,
    hosts: lab.hosts.map(siteHost),
    reboot: async ({ name }, signal) => {
      const host = labHosts.get(name);
      await host?.kill(signal);
      await host?.startEngine(signal);
    },
    spawn: (command, args, options) => lab.spawn(command, args, options),
    keep: () => {
      lab.keep();
    },
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

function siteHost(host: LabHost): SiteHost {
  const directory = join(host.directory, 'fairlead');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return {
    name: host.name,
    address: host.address,
    dockerSocket: host.dockerSocket,
    publishAddress: undefined,
    directory,
    spawn: (command, args, options) => host.spawn(command, args, options),
    docker: (args, signal) => host.docker(args, signal),
  };
}
