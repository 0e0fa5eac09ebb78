#!/bin/sh
# PID 1 of the load balancer's container: keeps the proxy agent running, and nothing else.
#
# HAProxy is a detached child of the agent. When the agent crashes, HAProxy goes on serving as a
# child of this script, and the next agent finds it again by its runtime socket. While this script
# waits, the shell also buries whatever processes were left to it.

agent=/usr/local/lib/fairlead/fairlead-proxy.cjs
pid=
stopping=
unsent=

# A signal may come before the agent's pid is known; it is then sent as soon as it is.
stop() {
  stopping=$1
  if [ -n "$pid" ]; then kill -s "$1" "$pid" 2> /dev/null; else unsent=$1; fi
}
trap 'stop TERM' TERM
trap 'stop INT' INT

while :; do
  node "$agent" "$@" &
  pid=$!
  if [ -n "$unsent" ]; then
    kill -s "$unsent" "$pid"
    unsent=
  fi

  # A signal to us ends the wait early, with the agent still there.
  wait "$pid"
  status=$?
  while kill -0 "$pid" 2> /dev/null; do
    wait "$pid"
    status=$?
  done
  pid=

  if [ -n "$stopping" ] || [ "$status" -eq 0 ]; then exit "$status"; fi
  echo "the proxy agent ended with status $status and is started again in a second" >&2

  # In the background, because a trap runs only between foreground commands.
  sleep 1 &
  wait "$!"
  if [ -n "$stopping" ]; then exit "$status"; fi
done
