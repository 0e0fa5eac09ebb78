import { InvalidArgumentError } from 'commander';
import type { Device, ExtraHost, Ulimit } from '../../shared/gen/fairlead/v1/container_options.ts';

// Readers of the values of Docker's flags. Ranges and names are the coordinator's to check.

const bytesOfUnit: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

/** `512m`, `1.5g`, `64k` or a number of bytes. */
export function readBytes(text: string): number {
  const match = /^(?<count>\d+(?:\.\d+)?)(?:(?<unit>[bkmgt])(?:i?b)?)?$/i.exec(text);
  const unit = bytesOfUnit[match?.groups?.['unit']?.toLowerCase() ?? ''];
  if (match === null || unit === undefined) {
    throw new InvalidArgumentError('A size is a number with a unit, such as 64k, 512m or 1.5g.');
  }
  return Math.round(Number(match.groups?.['count']) * unit);
}

/** The same, or -1 for no limit. */
export function readBytesOrNone(text: string): number {
  return text === '-1' ? -1 : readBytes(text);
}

/** `1.5` processors, in thousandths. */
export function readCpus(text: string): number {
  if (!/^\d{1,6}(?:\.\d{1,3})?$/.test(text)) {
    throw new InvalidArgumentError('It is a number of processors, such as 0.5 or 2.');
  }
  return Math.round(Number(text) * 1000);
}

/** `/dev/fuse`, `/dev/sda:/dev/xvda` or `/dev/sda:/dev/xvda:r`. */
export function readDevice(text: string): Device {
  const [hostPath = '', second = '', third = '', ...rest] = text.split(':');
  if (hostPath === '' || rest.length > 0) {
    throw new InvalidArgumentError('A device is PATH[:PATH-INSIDE][:rwm].');
  }
  return second !== '' && !second.startsWith('/') && third === ''
    ? { hostPath, containerPath: '', permissions: second }
    : { hostPath, containerPath: second, permissions: third };
}

/** `nofile=1024:4096`, or `nofile=1024` for both. */
export function readUlimit(text: string): Ulimit {
  const match = /^(?<name>[a-z]+)=(?<soft>-?\d+)(?::(?<hard>-?\d+))?$/.exec(text);
  if (match?.groups === undefined) {
    throw new InvalidArgumentError('A limit is NAME=SOFT[:HARD], such as nofile=1024:4096.');
  }
  const { name = '', soft, hard } = match.groups;
  return { name, soft: Number(soft), hard: hard === undefined ? undefined : Number(hard) };
}

/** `db:192.0.2.9` or `db=192.0.2.9`. */
export function readExtraHost(text: string): ExtraHost {
  const match = /^(?<name>[^:=]+)[:=](?<address>.+)$/.exec(text);
  if (match?.groups === undefined) {
    throw new InvalidArgumentError('A host is NAME:ADDRESS, such as db:192.0.2.9.');
  }
  const { name = '', address = '' } = match.groups;
  return { name, address: address.replace(/^\[(.*)\]$/, '$1') };
}
