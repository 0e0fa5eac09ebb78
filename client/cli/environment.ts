/** The variables of the process; the only place of the command line that reads them. */
export const environment: Readonly<Record<string, string | undefined>> = process.env;
