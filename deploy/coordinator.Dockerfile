# fairlead-coordinator: the coordinator and the command line. The build context is
# dist/packages/images/coordinator, made on the architecture that the image is for.
ARG BASE=node:20-bookworm-slim
FROM ${BASE}

COPY fairlead /usr/local/lib/fairlead
RUN ln -s /usr/local/lib/fairlead/dist/client/cli/main.js /usr/local/bin/fairlead \
  && chmod 755 /usr/local/lib/fairlead/dist/client/cli/main.js \
  && mkdir -p /var/lib/fairlead/coordinator \
  && chmod 700 /var/lib/fairlead/coordinator \
  && chown node /var/lib/fairlead/coordinator

USER node
VOLUME /var/lib/fairlead/coordinator
EXPOSE 7600 7601

# With more arenas of malloc it takes some 5 MiB more at rest.
ENV FAIRLEAD_LISTEN=0.0.0.0:7600 \
    FAIRLEAD_HTTP_LISTEN=0.0.0.0:7601 \
    MALLOC_ARENA_MAX=1

ENTRYPOINT ["fairlead"]
CMD ["coordinator", "run"]
