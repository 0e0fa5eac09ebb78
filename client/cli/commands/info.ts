import type { Command } from 'commander';
import { GetInfoResponse } from '../../../shared/gen/fairlead/v1/control_service.ts';
import { connected } from '../invocation.ts';

/** Makes this the command that asks the coordinator who it is. */
export function configure(info: Command): void {
  info.action(
    connected(async ({ client, output, signal }) => {
      const answer = await client.control.getInfo({}, { signal });
      output.allDetails({ toJSON: (item) => GetInfoResponse.toJSON(item) }, [answer]);
    }),
  );
}
