# fairlead-agent: the node agent. The build context is dist/packages/images/agent.
#
# It drives the engine of its host, whose socket it is given:
#   docker run --detach --restart unless-stopped --network host --env FAIRLEAD_COORDINATOR=HOST:7600 \
#     --env FAIRLEAD_TOKEN --volume /var/run/docker.sock:/var/run/docker.sock \
#     --volume fairlead-agent:/var/lib/fairlead/agent fairlead/agent
ARG BASE=node:20-bookworm-slim
FROM ${BASE}

COPY fairlead-agent.cjs /usr/local/lib/fairlead/

VOLUME /var/lib/fairlead/agent

ENTRYPOINT ["node", "/usr/local/lib/fairlead/fairlead-agent.cjs"]
