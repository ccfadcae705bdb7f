# shellcheck shell=bash
# The part "compose": `docker compose` 2 or `docker-compose` 1.29, whichever is there; else the distribution's package
# (seconds); else a build from source of a pinned version (minutes, but it needs neither root nor apt).

# shellcheck disable=SC2034 # read by run_part
compose_title='Docker Compose'

COMPOSE_PACKAGE=github.com/docker/compose/v2/cmd
COMPOSE_VERSION=v2.32.4
# docker-compose 1.29 speaks at most this version of the engine's API.
COMPOSE_V1_API=1.41

# Whether version $1 is at least $2.
at_least() { [[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" == "$2" ]]; }

compose_observe() {
  PLANNED='install Docker Compose'
  find_compose || return 1
  if [[ $COMPOSE_KIND == v1 && -n ${ENGINE_MIN_API:-} ]] && ! at_least "$COMPOSE_V1_API" "$ENGINE_MIN_API"; then
    PLANNED='install Docker Compose 2'
    note "the engine speaks no API older than $ENGINE_MIN_API, docker-compose 1.29 none newer than $COMPOSE_V1_API"
    [[ -x $CACHE/bin/docker-compose ]] || return 1
  fi
  FOUND="'${COMPOSE[*]}', version ${COMPOSE_KIND/v1/1.29}"
  FOUND=${FOUND/version v2/version 2}
}

compose_apply() {
  local package=''
  if is_debian_like && may_be_root; then
    package=$(compose_package)
    if [[ -z $package ]]; then
      need_root 'installing Docker Compose'
      apt_update
      package=$(compose_package)
    fi
  fi
  if [[ -n $package ]]; then
    permit "Install Docker Compose from the distribution ($package)" "apt-get install $package"
    apt_install "$package"
    find_compose
    compose_observe && return
  fi
  compose_build
}

# Ubuntu calls version 2 docker-compose-v2 and Docker itself docker-compose-plugin; Debian's docker-compose is 2 since
# Debian 13 and 1.29 before.
compose_package() {
  local package
  for package in docker-compose-v2 docker-compose-plugin docker-compose; do
    if apt_knows "$package"; then
      echo "$package"
      return
    fi
  done
}

compose_build() {
  if ! work "building Docker Compose $COMPOSE_VERSION from source (about 3 minutes)" go_install_compose; then
    fail 'Docker Compose could be neither found, nor installed, nor built.' "$(last_words)" \
      "install 'docker compose' 2 (or docker-compose 1.29)"
  fi
}

go_install_compose() {
  go_install "$COMPOSE_PACKAGE@$COMPOSE_VERSION" cmd "$CACHE/bin/docker-compose" \
    "-X github.com/docker/compose/v2/internal.Version=$COMPOSE_VERSION" || return 1
  # So that `docker compose` works for the user too; a plugin of the user's own stays.
  local plugin=$HOME/.docker/cli-plugins/docker-compose
  mkdir -p "${plugin%/*}"
  [[ -e $plugin ]] || ln -sfn "$CACHE/bin/docker-compose" "$plugin"
}
