# shellcheck shell=bash
# The part "node-modules": exactly what package-lock.json names, installed when it has changed.

# shellcheck disable=SC2034 # read by run_part
node_modules_title='npm packages'

NODE_NEEDED=20.3.0
NODE_MODULES_MARK=$ROOT/node_modules/.veloz-ha-lock

# What node_modules depends on: the lock file, and the Node that native parts were chosen for.
lock_hash() {
  { node -p 'process.versions.modules + process.arch' && cat "$ROOT/package-lock.json"; } | sha256sum | cut -d ' ' -f 1
}

# Node itself is a prerequisite: npm has started us with it. It says so before anything else is tried.
check_node() {
  local version
  if ! has node || ! has npm; then
    fail 'Node.js is missing.' 'there is no node or npm on PATH.' "install Node.js $NODE_NEEDED or later"
  fi
  version=$(node -p process.versions.node)
  if ! at_least "$version" "$NODE_NEEDED"; then
    fail "Node.js $version is too old." "$NODE_NEEDED or later is needed." 'install a newer Node.js'
  fi
}

node_modules_observe() {
  PLANNED="install the npm packages of package-lock.json"
  [[ -s $NODE_MODULES_MARK && "$(cat "$NODE_MODULES_MARK")" == "$(lock_hash)" ]] || return 1
  FOUND='as package-lock.json says'
}

# npm removes the old folder before it knows whether it can fetch the new one, so it works beside and the folder is
# exchanged at the end.
node_modules_apply() {
  local stage=$ROOT/.node_modules.new
  temporary "$stage"
  if ! work 'installing (npm ci)' node_modules_install "$stage"; then
    fail 'the npm packages could not be installed.' \
      "$(last_words "$LOG" 400 | grep -E '^npm (error|ERR!) .' | head -n 4)" \
      "check that the registry answers ('npm ping')"
  fi
}

node_modules_install() {
  local stage=$1 old=$ROOT/.node_modules.old hash
  rm -rf "$stage" "$old" && mkdir -p "$stage"
  hash=$(lock_hash)
  cp "$ROOT/package.json" "$ROOT/package-lock.json" "$stage/"
  if [[ -f $ROOT/.npmrc ]]; then cp "$ROOT/.npmrc" "$stage/"; fi
  # Development packages are wanted whatever NODE_ENV says: set-up builds from source.
  (cd "$stage" && npm ci --include=dev --no-audit --no-fund --loglevel=http) || return 1
  echo "$hash" >"$stage/node_modules/.veloz-ha-lock"
  if [[ -e $ROOT/node_modules ]]; then mv -T "$ROOT/node_modules" "$old"; fi
  mv -T "$stage/node_modules" "$ROOT/node_modules"
  rm -rf "$stage" "$old"
}
