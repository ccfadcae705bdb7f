# shellcheck shell=bash
# The part "docker-engine": a running engine is used as it is; else the installed one is started; else the
# distribution's package is installed and started.

# shellcheck disable=SC2034 # read by run_part
docker_engine_title='Docker engine'

ENGINE_LOG=$CACHE/dockerd.log
ENGINE_PID_FILE=$CACHE/dockerd.pid
ENGINE_ERROR=''
# How long a started engine may take until it answers: a cold disk with many containers takes tens of seconds.
ENGINE_START_SECONDS=${VELOZ_HA_DOCKER_START_SECONDS:-60}
# Extra flags of a dockerd that set-up starts by hand, such as --data-root; a local DOCKER_HOST is served with them.
read -r -a ENGINE_OPTIONS <<<"${VELOZ_HA_DOCKERD_OPTIONS:-}"

engine_answers() {
  local answer
  if ! has docker; then
    ENGINE_ERROR='there is no docker command'
    return 1
  fi
  if answer=$(timeout 10 docker version --format '{{.Server.Version}} {{.Server.MinAPIVersion}}' 2>&1); then
    read -r ENGINE_VERSION ENGINE_MIN_API <<<"$answer"
    return 0
  fi
  ENGINE_ERROR=${answer//$'\n'/ }
  return 1
}

# dockerd lies in an sbin folder, which an ordinary user's PATH leaves out.
find_dockerd() {
  PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v dockerd
}

docker_engine_observe() {
  if engine_answers; then
    FOUND="$ENGINE_VERSION is running"
    return 0
  fi
  if [[ $ENGINE_ERROR == *'permission denied'* ]]; then
    PLANNED="let user $(id -un) use the Docker engine"
  elif has docker && find_dockerd >/dev/null; then
    PLANNED='start the installed Docker engine'
  else
    PLANNED='install the Docker engine and start it'
  fi
  return 1
}

docker_engine_apply() {
  local context=default
  if [[ -n ${DOCKER_HOST:-} && ${#ENGINE_OPTIONS[@]} -eq 0 ]]; then
    fail "the Docker engine at DOCKER_HOST=$DOCKER_HOST does not answer." "$ENGINE_ERROR" \
      "start that engine, or 'unset DOCKER_HOST' to use this machine's own."
  fi
  if has docker && [[ -z ${DOCKER_HOST:-} ]]; then
    context=$(docker context show 2>/dev/null || echo default)
  fi
  if [[ $context != default && $ENGINE_ERROR != *'permission denied'* ]]; then
    fail "the Docker engine of context '$context' does not answer." "$ENGINE_ERROR" \
      "start that engine, or 'docker context use default' to use this machine's own."
  fi
  if [[ $ENGINE_ERROR == *'permission denied'* ]]; then
    engine_let_user_in
    return
  fi
  if ! has docker || ! find_dockerd >/dev/null; then
    engine_install
  fi
  # The package starts its own service where an init system runs.
  if ! engine_answers && [[ $ENGINE_ERROR != *'permission denied'* ]]; then
    engine_start
  fi
  if ! engine_answers && [[ $ENGINE_ERROR == *'permission denied'* ]]; then
    engine_let_user_in
  fi
}

engine_install() {
  local packages=(docker.io ca-certificates)
  if ! is_debian_like; then
    fail 'the Docker engine is not installed.' \
      "set-up can install it on Debian and Ubuntu only; this is $(distribution)." \
      'install a Docker engine (20.10 or later) and start it'
  fi
  permit 'Install the Docker engine from the distribution (docker.io)' 'apt-get install docker.io'
  need_root 'installing the Docker engine' 'apt-get install docker.io'
  apt_update
  if apt_knows docker-ce; then
    # The machine is set up for Docker's own packages, which can't be mixed with the distribution's.
    packages=(docker-ce docker-ce-cli containerd.io ca-certificates)
  elif apt_knows docker-cli; then
    # Debian 13 has split the command off.
    packages+=(docker-cli)
  fi
  apt_install "${packages[@]}"
}

# Membership of the group docker reaches new logins only; the socket's owner is what makes this very run work.
engine_let_user_in() {
  local socket=/var/run/docker.sock user
  user=$(id -un)
  permit "Let user $user use the Docker engine (group docker; that equals root on this machine)" \
    "sudo usermod -aG docker $user, then log in again"
  need_root 'access to the Docker engine' "usermod -aG docker $user"
  if ! work "letting $user use the engine" engine_open_socket "$user" "$socket"; then
    fail "user $user could not be let in to the Docker engine." "$(last_words)" \
      "sudo usermod -aG docker $user, log in again"
  fi
}

engine_open_socket() { as_root usermod -aG docker "$1" && as_root chown "$1" "$2"; }

engine_start() {
  local init offset
  need_root 'starting the Docker engine'
  init=$(cat /proc/1/comm 2>/dev/null || echo unknown)
  if ((${#ENGINE_OPTIONS[@]} == 0)); then
    if [[ -d /run/systemd/system ]] && has systemctl; then
      if work 'starting the service docker' engine_start_service systemctl start docker; then return; fi
      fail 'the service docker did not start.' "$(last_words)" "journalctl -u docker shows why"
    fi
    if [[ $init == init || $init == openrc-init || $init == runit ]] && has service && [[ -e /etc/init.d/docker ]]; then
      if work 'starting the service docker' engine_start_service service docker start; then return; fi
      warn 'the service docker did not start; trying dockerd itself.'
    fi
  fi
  # What earlier starts wrote is no cause of this one's failure.
  : >>"$ENGINE_LOG"
  offset=$(stat -c %s "$ENGINE_LOG")
  if work 'starting dockerd' engine_start_by_hand; then return; fi
  if tail -c "+$((offset + 1))" "$ENGINE_LOG" | tail -n 40 | grep -qiE 'iptables|nf_tables|netfilter'; then
    # Published ports then go through docker-proxy, and nothing here needs the containers to reach out by themselves.
    warn 'dockerd can set no packet filter here; starting it without one.'
    ENGINE_OPTIONS+=(--iptables=false --ip6tables=false --ip-masq=false)
    if work 'starting dockerd without a packet filter' engine_start_by_hand; then return; fi
  fi
  fail 'the Docker engine did not start.' \
    "$(tail -c "+$((offset + 1))" "$ENGINE_LOG" | grep -vE '^[[:space:]]*$|level=info' | tail -n 3 | cut -c1-300
      last_words "$LOG" 1)" \
    "read $ENGINE_LOG (this machine may not allow containers), start an engine by hand"
}

engine_start_service() {
  as_root "$@" || return 1
  engine_await
}

# Waits until the engine answers; "permission denied" is an answer too. With a pid, a dockerd that has ended is found
# out at once.
engine_await() {
  local pid=${1:-} deadline=$((SECONDS + ENGINE_START_SECONDS))
  until engine_answers || [[ $ENGINE_ERROR == *'permission denied'* ]]; do
    if [[ -n $pid ]] && ! [[ -d /proc/$pid ]]; then
      echo 'dockerd ended while it started'
      return 1
    fi
    if ((SECONDS >= deadline)); then
      echo "no answer within $ENGINE_START_SECONDS s: $ENGINE_ERROR"
      return 1
    fi
    sleep 0.2
  done
}

# Where no init system runs (a container, a rescue shell, many CI machines) dockerd is started detached; its log and its
# process id are kept in the cache folder.
engine_start_by_hand() {
  local dockerd stale=/var/run/docker.pid pid
  local options=("${ENGINE_OPTIONS[@]}")
  dockerd=$(find_dockerd)
  [[ -n ${DOCKER_HOST:-} ]] && options+=(-H "$DOCKER_HOST")
  as_root bash -c "$(declare -f engine_mount_cgroups); engine_mount_cgroups" || true
  # A pid file that outlived a reboot names some other process by now, and dockerd would refuse to start beside it.
  if ((${#ENGINE_OPTIONS[@]} == 0)) && [[ -r $stale ]]; then
    [[ "$(cat "/proc/$(cat "$stale")/comm" 2>/dev/null)" == dockerd ]] || as_root rm -f "$stale"
  fi
  echo "$dockerd ${options[*]}"
  # shellcheck disable=SC2016 # expanded by the inner shell, which becomes dockerd and so knows its process id
  as_root setsid bash -c 'echo "$$" >"$1"; log=$2; shift 2; exec "$@" >>"$log" 2>&1 </dev/null' \
    dockerd "$ENGINE_PID_FILE" "$ENGINE_LOG" "$dockerd" "${options[@]}" &
  pid=''
  for _ in {1..50}; do
    sleep 0.1
    pid=$(cat "$ENGINE_PID_FILE" 2>/dev/null) && [[ -d /proc/$pid ]] && break
  done
  engine_await "$pid"
}

# Runs as root, in a shell of its own. An engine can't start containers where no control groups are mounted.
engine_mount_cgroups() {
  local controller
  mountpoint -q /sys/fs/cgroup && return 0
  [[ -d /sys/fs/cgroup ]] || return 0
  if mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null; then
    grep -qw memory /sys/fs/cgroup/cgroup.controllers && return 0
    # The controllers belong to the older hierarchies on this kernel.
    umount /sys/fs/cgroup
  fi
  mount -t tmpfs -o mode=0755 tmpfs /sys/fs/cgroup
  while read -r controller _ _ enabled; do
    [[ $controller == '#'* || $enabled != 1 ]] && continue
    mkdir -p "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" || rmdir "/sys/fs/cgroup/$controller"
  done </proc/cgroups
}
