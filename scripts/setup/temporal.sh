# shellcheck shell=bash
# The part "temporal": the Temporal CLI, whose development server runs the workflows on one machine. In this order:
# VELOZ_HA_TEMPORAL, the one on PATH, the one in the cache; else a download; else a build from source.

# shellcheck disable=SC2034 # read by run_part
temporal_title='Temporal'

TEMPORAL_VERSION=1.5.1
# The oldest server that the runbooks were tested with.
TEMPORAL_SERVER_NEEDED=1.29
TEMPORAL_URL="https://temporal.download/cli/archive/v$TEMPORAL_VERSION?platform=linux&arch=$(architecture)"
TEMPORAL_URL=${VELOZ_HA_TEMPORAL_URL:-$TEMPORAL_URL}
TEMPORAL_CACHED=$CACHE/bin/temporal
TEMPORAL_LOG=$CACHE/temporal-install.log
TEMPORAL_PID=''

# temporal_server_version <path>: the version of the server in it, such as 1.29.1. A copy in the cache was checked when
# it was put there; its version lies beside it, so that a second set-up need not load 250 MB to ask.
temporal_server_version() {
  if [[ $1 == "$TEMPORAL_CACHED" && -s $1.version && $1.version -nt $1 ]]; then
    cat "$1.version"
    return
  fi
  timeout 20 "$1" --version 2>/dev/null | sed -n 's/.*(Server \([0-9.]*\).*/\1/p'
}

temporal_observe() {
  local path version
  temporal_check_setting
  for path in "${VELOZ_HA_TEMPORAL:-}" "$(command -v temporal || true)" "$TEMPORAL_CACHED"; do
    [[ -n $path && -x $path ]] || continue
    version=$(temporal_server_version "$path")
    if [[ -n $version ]] && at_least "$version" "$TEMPORAL_SERVER_NEEDED"; then
      FOUND="server $version, $path"
      return 0
    fi
    note "$path has server '${version:-unknown}', older than $TEMPORAL_SERVER_NEEDED: not used"
  done
  PLANNED="download the Temporal CLI $TEMPORAL_VERSION, or build it from source where that is out of reach"
  return 1
}

# An explicit path that does not work is a mistake to point out, not one to work around.
temporal_check_setting() {
  local path=${VELOZ_HA_TEMPORAL:-} version
  [[ -z $path ]] && return 0
  version=''
  [[ -x $path ]] && version=$(temporal_server_version "$path")
  if [[ -z $version ]] || ! at_least "$version" "$TEMPORAL_SERVER_NEEDED"; then
    fail "VELOZ_HA_TEMPORAL=$path is no Temporal CLI that can be used." \
      "its server is '${version:-unknown}'; $TEMPORAL_SERVER_NEEDED or later is needed." 'set it right or unset it.'
  fi
}

# Starts while the other parts run, as it is by far the longest where it has to be built.
temporal_start() {
  : >"$TEMPORAL_LOG"
  set -m
  temporal_get >>"$TEMPORAL_LOG" 2>&1 </dev/null 9>&- &
  set +m
  TEMPORAL_PID=$!
}

temporal_apply() {
  local status=0
  [[ -n $TEMPORAL_PID ]] || temporal_start
  WORK_OFFSET=0
  follow "$TEMPORAL_PID" "$TEMPORAL_LOG" "getting the Temporal CLI $TEMPORAL_VERSION (up to 5 minutes)" || status=$?
  TEMPORAL_PID=''
  cat "$TEMPORAL_LOG" >>"$LOG"
  if ((status != 0)); then
    fail 'the Temporal CLI could be neither downloaded nor built.' "$(last_words "$TEMPORAL_LOG")" \
      "put a 'temporal' $TEMPORAL_VERSION or later on PATH (or name it in VELOZ_HA_TEMPORAL)"
  fi
}

temporal_get() {
  mkdir -p "$CACHE/bin"
  temporal_download || temporal_build || return 1
  temporal_server_version "$TEMPORAL_CACHED" >"$TEMPORAL_CACHED.version.new"
  mv -f "$TEMPORAL_CACHED.version.new" "$TEMPORAL_CACHED.version"
}

temporal_download() {
  local folder=$CACHE/temporal-download.new
  rm -rf "$folder" && mkdir -p "$folder"
  echo "downloading $TEMPORAL_URL"
  if download "$TEMPORAL_URL" "$folder/archive" 5 && tar -xzf "$folder/archive" -C "$folder" &&
    [[ -n "$(temporal_server_version "$folder/temporal")" ]]; then
    mv -fT "$folder/temporal" "$TEMPORAL_CACHED"
    rm -rf "$folder"
    return 0
  fi
  rm -rf "$folder"
  echo 'the download is out of reach'
  return 1
}

temporal_build() {
  echo 'building from source'
  go_install "github.com/temporalio/cli/cmd/temporal@v$TEMPORAL_VERSION" temporal "$TEMPORAL_CACHED" \
    "-X github.com/temporalio/cli/temporalcli.Version=$TEMPORAL_VERSION" || return 1
  "$TEMPORAL_CACHED" --version
}
