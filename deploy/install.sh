#!/bin/sh
# Installs the Fairlead node agent @VERSION@ on this host, from the coordinator that served this script.
#
# It downloads and checks everything first. What it then changes it changes back if a later step fails.
# Running it again brings the same state. Docker and its containers are left alone.
set -eu
# Whatever root's is: what is installed is there to be read, and what is secret says so itself.
umask 022

version=@VERSION@
agent_name=fairlead-agent
own=/usr/local/libexec/fairlead
launcher=fairlead-agent-launcher
parts="fairlead-agent fairlead-agent.cjs $launcher run-agent"
unit=/etc/systemd/system/fairlead-agent.service
init=/etc/init.d/fairlead-agent
log=/var/log/fairlead-agent.log
settings=/etc/fairlead/agent.env
socket=/var/run/docker.sock

usage() {
  cat << END
Usage: [FAIRLEAD_TOKEN=TOKEN] sh install.sh --from URL [--coordinator HOST:PORT] [option ...]
       sh install.sh --uninstall [--purge]

  --from URL               where the coordinator serves its packages: https://HOST:PORT
  --coordinator HOST:PORT  what the agent dials; needed the first time
  --name NAME              name of the node; by default the host's name
  --tag TAG[,TAG]          tags to join with
  --form FORM              deb, bundle (runs on this host's Node) or executable (has Node inside);
                           by default what fits this host, or what is installed already
  --wait SECONDS           how long the host may take to join (60); 0: do not wait
  --rejoin                 leave the coordinator that this host is a node of, and join as a new node;
                           FAIRLEAD_REJOIN=yes before the line does the same
  --uninstall              remove the agent; its identity and settings stay
  --purge                  remove those as well: this host is then no node any more

The token that lets a host join is read from the variable FAIRLEAD_TOKEN, never from an argument.
END
}

# The SHA-256 of everything that this script may install.
hash_of() {
  case $1 in
@HASHES@
    *) ;;
  esac
}

say() { echo "fairlead: $*"; }

fail() {
  echo "fairlead: $*" >&2
  exit 1
}

have() { command -v "$1" > /dev/null 2>&1; }

main() {
  from='' coordinator='' name='' tag='' form='' wait_seconds=60 uninstall='' purge=''
  token=${FAIRLEAD_TOKEN-}
  rejoin=${FAIRLEAD_REJOIN-}
  unset FAIRLEAD_TOKEN FAIRLEAD_REJOIN
  read_arguments "$@"
  [ "$(id -u)" = 0 ] || fail "this must run as root: open a root shell first (sudo -s), then try again"
  find_state
  if [ -n "$uninstall" ]; then
    remove_all
  else
    install_all
  fi
}

read_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --uninstall) uninstall=yes ;;
      --purge) purge=yes ;;
      --rejoin) rejoin=yes ;;
      --help | -h)
        usage
        exit 0
        ;;
      --from | --coordinator | --name | --tag | --form | --wait)
        [ $# -gt 1 ] || refuse "$1 needs a value"
        check_word "$1" "$2"
        case $1 in
          --from) from=${2%/} ;;
          --coordinator) coordinator=$2 ;;
          --name) name=$2 ;;
          --tag) tag=$2 ;;
          --form) form=$2 ;;
          --wait) wait_seconds=$2 ;;
        esac
        shift
        ;;
      *) refuse "there is no option $1" ;;
    esac
    shift
  done
  [ -z "$token" ] || check_word FAIRLEAD_TOKEN "$token"
  case $form in '' | deb | bundle | executable) ;; *) refuse "--form is deb, bundle or executable" ;; esac
  case $wait_seconds in '' | *[!0-9]*) refuse "--wait is a number of seconds" ;; esac
  [ -z "$purge" ] || [ -n "$uninstall" ] || refuse "--purge goes with --uninstall"
  [ -n "$uninstall" ] || [ -n "$from" ] || refuse "--from is missing"
}

refuse() {
  echo "fairlead: $*" >&2
  usage >&2
  exit 2
}

# Values end up in a file that systemd and the shell read: nothing in them may mean more than itself.
check_word() {
  case $2 in
    '' | *[!][A-Za-z0-9._:/=,@%+-]*)
      # A token is not shown.
      refuse "the value of $1 has characters that it cannot have"
      ;;
  esac
}

# --- Installing

install_all() {
  for tool in mktemp mv sed tr uname; do
    have "$tool" || fail "this host has no $tool; install it first"
  done
  have curl || have wget || fail "this host has neither curl nor wget; install one first"
  have sha256sum || have shasum || have openssl \
    || fail "this host has no sha256sum, shasum or openssl to check what is downloaded; install one first"
  choose_form
  joined=''
  if [ -s "$identity" ] && [ -z "$rejoin" ]; then joined=yes; fi
  check_settings
  check_coordinator
  check_engine

  made_parents='' staging='' undo='' was_active=''
  trap on_exit EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # Next to where the files go, so that moving them there is one step and no other disk can be full.
  make_directory "${own%/*}"
  staging=$(mktemp -d "${own%/*}/.fairlead-install.XXXXXX") || fail "cannot write to ${own%/*}"

  case $form in
    deb) stage_package ;;
    bundle) stage_bundle ;;
    executable) stage_executable ;;
  esac
  say "downloaded and checked $agent_name $version ($form)"

  if has_service && service is-active; then was_active=yes; fi
  was_node=$(node_id)
  put_versions_aside
  case $form in
    deb) put_package ;;
    *) put_program ;;
  esac
  systemd_runs || write_launcher
  relabel
  if has_service; then
    start_service
  else
    hand_over_token
  fi
  undo=''
  finish
}

choose_form() {
  machine=$(uname -m)
  case $machine in
    x86_64 | amd64) architecture=amd64 ;;
    aarch64 | arm64) architecture=arm64 ;;
    *) architecture=$machine ;;
  esac
  package=fairlead-agent_${version}_$architecture.deb
  executable=fairlead-agent-linux-$architecture.gz
  if [ -z "$form" ]; then
    if package_status; then
      form=deb
    elif [ -e "$own/fairlead-agent.cjs" ]; then
      form=bundle
    elif [ -e "$own/fairlead-agent" ]; then
      form=executable
    elif have dpkg && systemd_runs && [ -n "$(hash_of "$package")" ]; then
      form=deb
    elif find_node; then
      form=bundle
    else
      form=executable
    fi
  fi
  if [ "$form" != deb ] && package_status; then
    fail "this host has the package $agent_name: leave --form away, or remove the package first (dpkg --remove $agent_name); the host stays the node that it is"
  fi
  case $form in
    deb)
      have dpkg || fail "this host has no dpkg: use --form bundle or --form executable"
      systemd_runs || fail "the package is for hosts where systemd runs: use --form bundle or --form executable; if it is installed, remove it first (dpkg --remove $agent_name)"
      ;;
    bundle) find_node || fail "this host has no Node 20.11 or later outside of home directories: install it, or use --form executable" ;;
    executable) have gzip || fail "this host has no gzip; install it first" ;;
  esac
  case $form in
    deb) wanted=$package ;;
    executable) wanted=$executable ;;
    *) wanted=fairlead-agent.cjs ;;
  esac
  [ -n "$(hash_of "$wanted")" ] \
    || fail "this coordinator has no $wanted for the architecture $machine: install Node 20.11 or later, then try again with --form bundle"
}

systemd_runs() { [ -d /run/systemd/system ]; }

openrc_runs() { [ -e /run/openrc/softlevel ] && have rc-service && have rc-update; }

has_service() { systemd_runs || openrc_runs; }

# What both that supervise services can do, in the words of systemd.
service() {
  if systemd_runs; then
    systemctl --quiet "$1" fairlead-agent.service
    return
  fi
  case $1 in
    is-active) rc-service --quiet fairlead-agent status > /dev/null 2>&1 ;;
    # In whichever runlevel its user put it.
    is-enabled) rc-update show 2> /dev/null | grep -q '^ *fairlead-agent |' ;;
    enable) service is-enabled || rc-update --quiet add fairlead-agent default ;;
    disable) rc-update --quiet --all delete fairlead-agent > /dev/null 2>&1 ;;
    stop)
      rc-service --quiet --ifstarted fairlead-agent stop
      # It ends the one process that it knows, which may have begun another just then.
      (end_processes)
      ;;
    *) rc-service --quiet fairlead-agent "$1" ;;
  esac
}

package_status() {
  have dpkg-query && [ "$(dpkg-query -W -f '${db:Status-Status}' "$agent_name" 2> /dev/null)" = installed ]
}

# A Node that a service may use: home directories are closed to it.
find_node() {
  node=$(command -v node 2> /dev/null) || return 1
  node=$(readlink -f "$node") || return 1
  case $node in /home/* | /root/*) return 1 ;; esac
  "$node" -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 11) ? 0 : 1)' \
    > /dev/null 2>&1
}

# What the settings say of a variable, as systemd and the shell read it.
setting() {
  sed -n "s/^$1=//p" "$settings" 2> /dev/null | sed -n '$p' | tr -d "\"'"
}

find_state() {
  state=$(setting FAIRLEAD_STATE_DIR)
  state=${state:-/var/lib/fairlead/agent}
  identity=$state/node.json
}

check_settings() {
  if [ -z "$coordinator" ] && ! grep -q '^FAIRLEAD_COORDINATOR=.' "$settings" 2> /dev/null; then
    refuse "--coordinator is missing"
  fi
  # One that was left there is not to make a node that was removed one anew.
  [ -n "$token" ] || [ -n "$joined" ] || token=$(setting FAIRLEAD_TOKEN)
  if [ -z "$joined" ] && [ -z "$token" ] && [ ! -s "$state/join.token" ]; then
    refuse "this host has not joined yet, and FAIRLEAD_TOKEN has no token"
  fi
}

# A token ends with the pin of its coordinator, and an identity names the pins of those that it trusts.
check_coordinator() {
  if [ -z "$joined" ] || [ -z "$token" ] || ! grep -q '"pins"' "$identity"; then return 0; fi
  pin=$(echo "$token" | sed -n 's/^flt_[0-9a-f]*_.\{43\}_\(.\{43\}\)$/\1/p')
  if [ -z "$pin" ] || grep -qF "\"$pin\"" "$identity"; then return 0; fi
  fail "this host is a node of the coordinator at $(setting FAIRLEAD_COORDINATOR), and this line is of another, at ${coordinator:-$from}: nothing was changed. To move the host, let the first one forget it (fairlead node rm NAME), and paste the line again with FAIRLEAD_REJOIN=yes before it"
}

check_engine() {
  if systemd_runs; then
    grep -q '^docker:' /etc/group 2> /dev/null || { have getent && getent group docker > /dev/null; } \
      || fail "this host has no group docker: install Docker Engine 20.10 or later first, then try again"
  fi
  [ -S "$socket" ] || say "warning: there is no Docker Engine at $socket; the node is not ready before there is"
}

stage_package() {
  download "$package" "$staging/$package"
  if ! dpkg --simulate --force-confold --install "$staging/$package" > "$staging/log" 2>&1; then
    cat "$staging/log" >&2
    fail "dpkg cannot install $package: see above"
  fi
}

stage_bundle() {
  download fairlead-agent.cjs "$staging/fairlead-agent.cjs"
  try_program "$node" "$staging/fairlead-agent.cjs"
  command="$own/$launcher $node $own/fairlead-agent.cjs"
  program=fairlead-agent.cjs
  stage_unit
}

stage_executable() {
  download "$executable" "$staging/$executable"
  gzip -dc "$staging/$executable" > "$staging/fairlead-agent" \
    || fail "cannot unpack $executable: is the disk full?"
  rm -f "$staging/$executable"
  chmod 755 "$staging/fairlead-agent"
  try_program "$staging/fairlead-agent"
  command="$own/$launcher $own/fairlead-agent"
  program=fairlead-agent
  stage_unit
}

stage_unit() {
  download "$launcher" "$staging/$launcher"
  chmod 755 "$staging/$launcher"
  download fairlead-agent.service "$staging/unit.template"
  sed "s|^ExecStart=.*|ExecStart=$command|" "$staging/unit.template" > "$staging/unit"
}

# It may be for another C library, or lie on a disk that runs nothing.
try_program() {
  said=$("$@" --version 2>&1) || fail "what was downloaded does not run on this host ($said): $(why_not)install Node 20.11 or later, then try again with --form bundle"
  [ "$said" = "$version" ] || fail "what was downloaded says that it is version $said, not $version"
}

# Where there is another C library, what is missing is the loader, or a library, or something in one.
why_not() {
  case $said in
    *GLIBC_* | *GLIBCXX_*) echo 'it needs glibc 2.28 and libstdc++ 8 or later, and what this host has is older; ' ;;
    *'not found'* | *'o such file'*) for loader in /lib/ld-musl-*; do
      [ ! -e "$loader" ] || echo 'it needs glibc, and this host has the C library musl; '
    done ;;
  esac
}

# Nobody needs to be trusted on the way: the hash says whether it is the right thing.
download() {
  url=$from/packages/$1
  if have curl; then
    curl --fail --silent --show-error --insecure --connect-timeout 10 --max-time 900 --retry 2 \
      --output "$2" "$url" || fail "cannot download $url"
  else
    wget -q --no-check-certificate -O "$2" "$url" || fail "cannot download $url"
  fi
  expected=$(hash_of "$1")
  found=$(sha256 "$2")
  [ "$found" = "$expected" ] \
    || fail "$url is not what belongs to this script (SHA-256 $found, not $expected): the coordinator may have been upgraded, so get a new line from it; else somebody changes what you download"
}

sha256() {
  if have sha256sum; then
    sha256sum "$1" | sed 's/ .*//'
  elif have shasum; then
    shasum -a 256 "$1" | sed 's/ .*//'
  else
    openssl dgst -sha256 "$1" | sed 's/.*= *//'
  fi
}

# Versions that "node upgrade" fetched: what is installed by hand is what runs. They are moved, because the
# new launcher and its agent remove what they do not know.
put_versions_aside() {
  [ -d "$state/versions" ] || return 0
  rm -rf "$state/versions.before"
  will_undo "[ ! -d '$state/versions.before' ] || { rm -rf '$state/versions' && mv '$state/versions.before' '$state/versions'; }"
  mv "$state/versions" "$state/versions.before"
}

put_package() {
  known=$(dpkg-query -W -f '${db:Status-Status}' "$agent_name" 2> /dev/null || true)
  case $known in
    installed) keep_package ;;
    '' | not-installed) if [ -z "$joined" ]; then will_undo purge_package; else will_undo remove_package; fi ;;
    *) will_undo remove_package ;;
  esac
  take_program_away
  if ! DEBIAN_FRONTEND=noninteractive dpkg --force-confold --install "$staging/$package" \
    > "$staging/log" 2>&1; then
    cat "$staging/log" >&2
    fail "dpkg could not install $package: see above"
  fi
  prepare_settings
}

# Makes a package of what is installed, to go back to. Its settings are those that come with the new one: they
# stay as they are, and dpkg goes on to know that they are not its own.
keep_package() {
  old=$staging/old
  mkdir "$old" "$old/DEBIAN"
  dpkg-query --listfiles "$agent_name" > "$staging/files"
  while read -r path; do
    if [ -d "$path" ]; then
      mkdir -p "$old$path"
    elif [ -e "$path" ]; then
      ln "$path" "$old$path" 2> /dev/null || cp -p "$path" "$old$path"
    fi
  done < "$staging/files"
  rm -f "$old$settings"
  mkdir -p "$old${settings%/*}"
  dpkg-deb --fsys-tarfile "$staging/$package" | tar -xO ".$settings" > "$old$settings"
  dpkg-query --status "$agent_name" | sed -e '/^Status:/d' -e '/^Conffiles:/d' -e '/^ \//d' > "$old/DEBIAN/control"
  dpkg-query -W -f '${Conffiles}\n' "$agent_name" | sed -n 's/^ \(\/[^ ]*\) .*/\1/p' > "$old/DEBIAN/conffiles"
  for part in preinst postinst prerm postrm; do
    script=$(dpkg-query --control-path "$agent_name" "$part" 2> /dev/null) || continue
    [ -z "$script" ] || cp -p "$script" "$old/DEBIAN/$part"
  done
  dpkg-deb --root-owner-group -Znone --build "$old" "$staging/old.deb" > "$staging/log" 2>&1 \
    || fail "cannot keep the version that is installed ($(cat "$staging/log")): is the disk full?"
  rm -rf "$old"
  will_undo "DEBIAN_FRONTEND=noninteractive dpkg --force-confold --force-downgrade --install '$staging/old.deb' > /dev/null || say 'the package that was installed could not be put back'"
}

# What another form of this script put there would run in the place of the package's.
take_program_away() {
  if [ -e "$unit" ]; then
    will_undo 'systemctl --quiet enable fairlead-agent.service'
    keep "$unit"
    systemctl --quiet disable fairlead-agent.service
    rm -f "$unit"
    systemctl daemon-reload
  fi
  for part in $parts; do
    [ -e "$own/$part" ] || continue
    keep "$own/$part"
    rm -f "$own/$part"
  done
  if [ -e "$own/made" ]; then
    made_parents="$own $(cat "$own/made") $made_parents"
    keep "$own/made"
    rm -f "$own/made"
  fi
}

put_program() {
  make_directory "$own"
  # To be removed with it, if nothing else has come there.
  if [ -n "$made_parents" ] && [ ! -e "$own/made" ]; then
    will_undo "rm -f '$own/made'"
    echo "$made_parents" > "$own/made"
  fi
  for part in "$program" "$launcher"; do
    keep "$own/$part"
    mv -f "$staging/$part" "$own/$part"
  done
  if systemd_runs; then put "$staging/unit" "$unit" 644; fi
  prepare_settings
}

# Where SELinux rules, a file that was moved keeps the label of where it was made. What cannot be labelled is no reason to
# change all back: whether the agent runs shows.
relabel() {
  have restorecon || return 0
  for path in "$own" "$unit" "${settings%/*}"; do
    [ ! -e "$path" ] || restorecon -R "$path" || say "warning: restorecon could not label $path"
  done
}

write_launcher() {
  cat > "$staging/run-agent" << END
#!/bin/sh
# Runs the node agent with its settings.
set -a
. $settings
set +a
exec $command
END
  put "$staging/run-agent" "$own/run-agent" 755
}

# What was set by hand stays, but for what this call says.
prepare_settings() {
  make_directory /etc/fairlead
  (
    umask 077
    if [ -e "$settings" ]; then cat "$settings"; fi > "$staging/settings"
  )
  set_value FAIRLEAD_COORDINATOR "$coordinator"
  set_value FAIRLEAD_NAME "$name"
  set_value FAIRLEAD_TAG "$tag"
  # It goes to the agent another way, which does not outlast its use.
  drop_value FAIRLEAD_TOKEN "$staging/settings"
  put "$staging/settings" "$settings" 600
}

set_value() {
  [ -n "$2" ] || return 0
  drop_value "$1" "$staging/settings"
  echo "$1=$2" >> "$staging/settings"
}

drop_value() {
  sed "/^$1=/d" "$2" > "$2.less"
  cat "$2.less" > "$2"
  rm -f "$2.less"
}

# The agent takes it from there and removes it as soon as its session stands. A node uses it only if its
# coordinator knows it no more.
hand_over_token() {
  if [ ! -e "$state" ]; then
    will_undo remove_state
    make_directory "$state"
    chmod 700 "$state"
  fi
  if [ -n "$rejoin" ] && [ -e "$identity" ]; then
    keep "$identity"
    keep "$identity.before"
    mv -f "$identity" "$identity.before"
  fi
  # Of the agent before; one that joins late has to leave nothing.
  keep "$state/connected"
  rm -f "$state/connected"
  [ -e "$identity" ] || will_undo "rm -f '$identity'"
  [ -n "$token" ] || return 0
  # The directory is the agent's user's, with a user that systemd makes for each run, who could put a link in the
  # place of what is named there. So the token gets its owner beside it, where nobody else comes, and is moved into
  # its place, which follows no link. systemd gives a directory that is not that user's yet to it, all of it.
  beside=$(mktemp -d "${state%/*}/.fairlead-token.XXXXXX") || fail "cannot write to ${state%/*}"
  will_undo "rm -rf '$beside'"
  (
    umask 077
    echo "$token" > "$beside/token"
  ) || fail "cannot write to ${state%/*}: is the disk full?"
  chown "$(owner_of "$state/.")" "$beside/token"
  keep "$state/join.token"
  rm -rf "$state/join.token"
  mv -f "$beside/token" "$state/join.token"
  rmdir "$beside"
}

owner_of() {
  # shellcheck disable=SC2012 # not every host has stat, and the name is our own
  ls -nd "$1" | sed 's/^[^ ]* *[^ ]* *\([0-9]*\) *\([0-9]*\) .*/\1:\2/'
}

start_service() {
  if systemd_runs; then systemctl daemon-reload; else put_init_script; fi
  if ! service is-enabled 2> /dev/null; then
    will_undo 'service disable'
  fi
  service enable
  # What it says from now on is of the new one.
  service stop
  hand_over_token
  # Before anything else, as the last that was done: what runs would bring back what is removed.
  will_undo 'service stop'
  service start
  [ "$wait_seconds" -gt 0 ] || return 0
  waited=0
  while ! { [ -e "$state/connected" ] && service is-active; }; do
    if [ "$waited" -ge "$wait_seconds" ]; then
      say "the last words of the agent:" >&2
      last_words >&2 || true
      if [ -z "$joined" ]; then fail "the agent did not join within $wait_seconds seconds"; fi
      fail "the agent had no session with the coordinator within $wait_seconds seconds"
    fi
    sleep 1
    waited=$((waited + 1))
  done
}

last_words() {
  if systemd_runs; then
    journalctl --quiet --no-pager --output=cat --lines=3 _SYSTEMD_UNIT=fairlead-agent.service
  else
    tail -n 3 "$log"
  fi
}

# For OpenRC: what runs ends with the service, and is started again however it ends.
put_init_script() {
  cat > "$staging/init" << END
#!/sbin/openrc-run
# Made by the install script of Fairlead.
description="Fairlead node agent"
supervisor=supervise-daemon
command=$own/run-agent
respawn_delay=2
respawn_max=0
retry=TERM/20/KILL/5
output_log=$log
error_log=$log

depend() {
  after docker net firewall
}
END
  put "$staging/init" "$init" 755
  [ -e "$log" ] || will_undo "rm -f '$log'"
}

node_id() { sed -n 's/.*"nodeId": "\([0-9a-f]*\)".*/\1/p' "$identity" 2> /dev/null || true; }

finish() {
  rm -rf "$state/versions.before"
  if [ -n "$name$tag" ] && [ -n "$was_node" ] && [ "$(node_id)" = "$was_node" ]; then
    say "this host was a node before and keeps its name and its tags: --name and --tag are for joining (fairlead node tag changes tags)"
  fi
  if has_service; then
    say "the agent runs, as the service fairlead-agent"
  else
    say "the agent is installed. There is neither systemd nor OpenRC here to start it; run it as root, under what supervises processes here:"
    say "  $own/run-agent"
  fi
}

# --- Changing back

# Remembers what a file was; one that was not there is removed again.
keep() {
  kept=$staging/kept$(echo "$1" | tr / _)
  [ ! -e "$kept" ] || return 0
  if [ -e "$1" ]; then
    cp -p "$1" "$kept"
    will_undo "cp -p '$kept' '$1.new' && mv -f '$1.new' '$1'"
  else
    will_undo "rm -f '$1'"
  fi
}

# Puts a file into place, whole or not at all, by a name beside it: the disk may be another one.
put() {
  keep "$2"
  will_undo "rm -f '$2.new'"
  (
    umask 077
    cat "$1" > "$2.new"
  ) || fail "cannot write $2: is the disk full?"
  chmod "$3" "$2.new"
  mv -f "$2.new" "$2"
}

make_directory() {
  if [ -d "$1" ]; then return 0; fi
  parent=${1%/*}
  [ -z "$parent" ] || make_directory "$parent"
  mkdir "$1"
  made_parents="$1 $made_parents"
}

will_undo() {
  undo="$1
$undo"
}

remove_package() { dpkg --remove "$agent_name" > /dev/null; }

purge_package() { dpkg --purge "$agent_name" > /dev/null; }

remove_state() {
  rm -rf "$state" /var/lib/private/fairlead/agent
  rmdir /var/lib/private/fairlead /var/lib/fairlead 2> /dev/null
}

on_exit() {
  status=$?
  trap - EXIT
  # Half of it changed back is worse than either: who is in a hurry waits for this.
  trap '' HUP INT TERM
  set +e
  if [ "$status" != 0 ] && [ -n "$undo" ]; then
    say "this failed: changing back what was changed" >&2
    echo "$undo" > "$staging/undo"
    # shellcheck source=/dev/null
    . "$staging/undo" 2> /dev/null
    if systemd_runs; then systemctl daemon-reload; fi
    # What ran before goes on with what was changed back.
    if [ -n "$was_active" ]; then service restart; fi
  fi
  rm -rf "$staging"
  # shellcheck disable=SC2086 # a list of words
  remove_empty $made_parents
  exit "$status"
}

remove_empty() {
  for directory in "$@"; do rmdir "$directory" 2> /dev/null || true; done
}

# --- Uninstalling

remove_all() {
  found=''
  if have dpkg-query && dpkg-query -W "$agent_name" > /dev/null 2>&1; then
    found=yes
    if [ -n "$purge" ]; then dpkg --purge "$agent_name"; else dpkg --remove "$agent_name"; fi
  fi
  if [ -e "$unit" ]; then
    found=yes
    systemctl --quiet disable --now fairlead-agent.service || true
    rm -f "$unit"
    systemctl daemon-reload || true
  fi
  if [ -e "$init" ]; then
    found=yes
    if openrc_runs; then
      service stop || true
      service disable || true
    fi
    rm -f "$init"
  fi
  for file in $parts; do
    if [ -e "$own/$file" ]; then found=yes; fi
    rm -f "${own:?}/$file"
  done
  # After the files: what supervises it cannot start it again.
  end_processes
  # What is installed next is what runs next, and joins only with a token of its own.
  rm -rf "$state"/versions* "$state"/join.token* "$state"/connected*
  if [ -n "$purge" ]; then
    # A directory that somebody chose may hold other things.
    rm -f "$state"/node.json* "$state"/joining.key*
    rmdir "$state" 2> /dev/null || true
    rm -rf /var/lib/fairlead/agent /var/lib/private/fairlead/agent
    rm -f "$settings" "$log"
  fi
  made_parents=$(cat "$own/made" 2> /dev/null || true)
  rm -f "$own/made"
  # shellcheck disable=SC2086 # a list of words
  remove_empty "$own" $made_parents /etc/fairlead /var/lib/private/fairlead /var/lib/fairlead
  if [ -n "$found" ]; then say "removed the agent"; else say "there was no agent"; fi
  say "containers go on running; to forget this host: fairlead node rm NAME"
}

# What runs from the files of this script, or from versions that were fetched in their place, on this host
# itself: containers may have the same paths.
end_processes() {
  waited=0
  while
    pids=$(our_processes)
    [ -n "$pids" ]
  do
    found=yes
    case $waited in
      0) signal=TERM ;;
      15) signal=KILL ;;
      20) fail "these processes of the agent do not end: $pids" ;;
      *) signal='' ;;
    esac
    # shellcheck disable=SC2086 # a list of numbers
    [ -z "$signal" ] || kill -s "$signal" $pids 2> /dev/null || true
    sleep 1
    waited=$((waited + 1))
  done
}

our_processes() {
  here=$(readlink /proc/self/ns/pid) || return 0
  for process in /proc/[0-9]*; do
    [ "$(readlink "$process/ns/pid" 2> /dev/null)" = "$here" ] || continue
    if is_ours "$process"; then echo "${process#/proc/}"; fi
  done
}

# An executable by its file, a script and a bundle by the path that their interpreter was started with.
is_ours() {
  program=$(readlink "$1/exe" 2> /dev/null) || return 1
  program=${program% (deleted)}
  case $program in
    "$own/fairlead-agent" | /usr/lib/fairlead/fairlead-agent | "$state"/versions*/*/fairlead-agent) return 0 ;;
    */busybox)
      case $(cat "$1/comm" 2> /dev/null) in sh | ash | fairlead-agent-) ;; *) return 1 ;; esac
      ;;
    */node | */nodejs | */sh | */dash | */bash) ;;
    *) return 1 ;;
  esac
  script=$(tr '\0' '\n' < "$1/cmdline" 2> /dev/null | sed -n '/^\//{/\/fairlead-agent/p;}' | sed -n 1p)
  case $script in
    "$own/$launcher" | /usr/lib/fairlead/"$launcher") return 0 ;;
    "$own/fairlead-agent.cjs" | "$state"/versions*/*/fairlead-agent.cjs) return 0 ;;
    *) return 1 ;;
  esac
}

main "$@"
