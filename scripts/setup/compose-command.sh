# shellcheck shell=bash disable=SC2034 # what one part sets, another reads
# Which Docker Compose this machine has. Sourced by set-up and by scripts/compose.sh, so that both choose the same one.

# Sets COMPOSE (the command as an array) and COMPOSE_KIND: "v2" or "v1". Returns 1 where there is none.
# The plugin comes first, as version 1.29 is no longer maintained; the one that set-up has built comes last.
find_compose() {
  local own=${CACHE:-$HOME/.cache/veloz-ha}/bin/docker-compose
  if docker compose version >/dev/null 2>&1; then
    COMPOSE=(docker compose)
    COMPOSE_KIND=v2
  elif command -v docker-compose >/dev/null 2>&1; then
    COMPOSE=(docker-compose)
    # The older one is a Python program; starting it only to learn its version costs half a second.
    if head -c 64 "$(command -v docker-compose)" | grep -aq python; then COMPOSE_KIND=v1; else COMPOSE_KIND=v2; fi
  elif [[ -x $own ]]; then
    COMPOSE=("$own")
    COMPOSE_KIND=v2
  else
    COMPOSE=()
    COMPOSE_KIND=''
    return 1
  fi
}
