/** Version of the agent, as it tells the coordinator; the same as that of the package. */
export const agentVersion = '0.1.0';
