# fairlead/haproxy: HAProxy and the proxy agent that drives it.
#
# The build context is a folder with fairlead-proxy.cjs (the bundled proxy agent) and
# proxy-entrypoint.sh.
ARG BASE=node:20-bookworm-slim
FROM ${BASE}

RUN command -v haproxy > /dev/null \
  || (apt-get update \
    && apt-get install -y --no-install-recommends haproxy \
    && rm -rf /var/lib/apt/lists/*)

COPY proxy-entrypoint.sh fairlead-proxy.cjs /usr/local/lib/fairlead/

ENV FAIRLEAD_PROXY_ON_STOP=stop \
    FAIRLEAD_STATE_DIR=/var/lib/fairlead

EXPOSE 80 443 1936

ENTRYPOINT ["/bin/sh", "/usr/local/lib/fairlead/proxy-entrypoint.sh"]
