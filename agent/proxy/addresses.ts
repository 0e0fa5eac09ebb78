/** `203.0.113.7:80`, and `[2001:db8::7]:80` for IPv6. */
export function socketAddress(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
