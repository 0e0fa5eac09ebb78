import { isIP } from 'node:net';
import type { PortBinding } from '../../shared/gen/fairlead/v1/container.ts';

// Agents run on hosts that somebody may have broken into. What they say is held, shown to people, and handed to
// other hosts; so it has an end, and is what it is said to be.

const maxWordsLength = 1_000;
const maxNameLength = 255;
const maxPort = 65_535;

/** What people read, as much as they would. */
export function words(text: string): string {
  return text.length > maxWordsLength ? text.slice(0, maxWordsLength) : text;
}

/** A name, an id or a version. */
export function named(text: string): string {
  return text.length > maxNameLength ? text.slice(0, maxNameLength) : text;
}

/** A moment, in wall-clock milliseconds; null: none, or none that a calendar has. */
export function momentOf(date: Date | undefined): number | null {
  const ms = date?.getTime() ?? NaN;
  return Number.isNaN(ms) ? null : ms;
}

/** Whether a port can be dialled, as balancers, containers and people are told to. */
export function isDiallable({
  hostAddress,
  hostPort,
  containerPort,
}: Pick<PortBinding, 'hostAddress' | 'hostPort' | 'containerPort'>): boolean {
  return (
    (hostAddress === '' || isIP(hostAddress) !== 0) &&
    hostPort <= maxPort &&
    containerPort <= maxPort
  );
}
