/** A number that is given on the command line after its name; undefined if it is not. */
export function numberArgument(name: string): number | undefined {
  const index = process.argv.indexOf(name);
  return index < 0 ? undefined : Number(process.argv[index + 1]);
}
