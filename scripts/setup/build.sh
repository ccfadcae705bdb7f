# shellcheck shell=bash
# The part "build": the compiled program in dist/, built when a source has changed.

# shellcheck disable=SC2034 # read by run_part
build_title='Build'

BUILD_MARK=$ROOT/dist/.veloz-ha-sources

# Names and contents of all that the compiler reads.
sources_hash() {
  (
    cd "$ROOT" || exit 1
    find src package.json package-lock.json tsconfig*.json -type f -print0 2>/dev/null | LC_ALL=C sort -z |
      xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
  )
}

build_observe() {
  PLANNED='compile src/ to dist/'
  [[ -s $ROOT/docker/engine/dist/engine.js ]] || return 1
  [[ -s $BUILD_MARK && "$(cat "$BUILD_MARK")" == "$(sources_hash)" ]] || return 1
  FOUND='dist/ is up to date'
}

build_apply() {
  if ! work 'compiling (npm run build)' build_run; then
    fail 'the program could not be compiled.' "$(last_words "$LOG" 12)" "mend it ('npm run build' shows the same)"
  fi
}

# dist/.lock and dist/.built are shared with bin/veloz-ha, which builds too when a source is newer than the stamp.
build_run() {
  local hash
  mkdir -p "$ROOT/dist"
  exec 8>"$ROOT/dist/.lock"
  flock 8
  # Both stamps are of the time before the compiler starts: a source that is saved meanwhile is compiled the next time.
  hash=$(sources_hash)
  touch "$ROOT/dist/.building"
  rm -f "$BUILD_MARK"
  (cd "$ROOT" && npm run -s build) 8>&- || return 1
  mv -f "$ROOT/dist/.building" "$ROOT/dist/.built"
  echo "$hash" >"$BUILD_MARK"
}
