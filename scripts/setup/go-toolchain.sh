# shellcheck shell=bash
# Building a Go program from source where nothing ready-made can be had. A Go of the machine is used when it is new
# enough; else Go itself is fetched as the module that it is published as, from the same proxy as every other module.

# The version that is fetched, and the checksums that Go's checksum database has for it.
GO_VERSION=1.26.8
declare -A GO_SUMS=(
  [amd64]='h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM='
  [arm64]='h1:sYL/O6MqS68ML0kjsQ36WoYIpJqkw60TxizWUYUKQMc='
)
# The oldest Go that builds what set-up builds (the Temporal CLI's go.mod says so).
GO_NEEDED=1.25.0

# The module proxy: the first one that the machine's own setting names, else Go's default. Any Go knows that, so where there
# is none the distribution's is installed to be asked, even when it is too old to build with.
go_proxy() {
  local proxy=${GOPROXY:-}
  if [[ -z $proxy ]]; then
    if ! has go; then apt_install golang-go >&2; fi
    proxy=$(go env GOPROXY 2>/dev/null)
  fi
  proxy=${proxy%%[,|]*}
  echo "${proxy%/}"
}

# Prints the path of a Go that is new enough; fetches one where there is none.
go_command() {
  local version own=$CACHE/go-$GO_VERSION/bin/go
  if has go; then
    version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null)
    version=${version#go}
    if [[ -n $version ]] && at_least "${version%% *}" "$GO_NEEDED"; then
      command -v go
      return
    fi
  fi
  # Compose and Temporal may be built at the same time, and both want it.
  (
    flock 8
    [[ -x $own ]] || go_fetch >&2
  ) 8>"$CACHE/go.lock" || return 1
  echo "$own"
}

go_fetch() {
  local arch zip tree url module
  arch=$(architecture)
  module=golang.org/toolchain@v0.0.1-go$GO_VERSION.linux-$arch
  if [[ -z ${GO_SUMS[$arch]:-} ]]; then
    echo "Go $GO_VERSION is not known here for $arch: install Go $GO_NEEDED or later"
    return 1
  fi
  url=$(go_proxy)/${module/@//@v/}.zip
  zip=$CACHE/go-$GO_VERSION.zip.new
  tree=$CACHE/go-$GO_VERSION.new
  rm -rf "$zip" "$tree"
  echo "fetching Go $GO_VERSION from $url"
  download "$url" "$zip" 10 || { rm -f "$zip"; return 1; }
  echo "unpacking Go $GO_VERSION"
  node "$SETUP_DIR/unpack-go.js" "$zip" "$tree" "$module" "${GO_SUMS[$arch]}" ||
    { rm -rf "$zip" "$tree"; return 1; }
  rm -f "$zip"
  mv -T "$tree" "$CACHE/go-$GO_VERSION"
}

# go_install <package@version> <name of the program> <where it goes> <linker flags>: builds without C, in a cache of its
# own that an interrupted build goes on from and that a finished one removes. The program appears whole or not at all.
go_install() {
  local package=$1 program=$2 target=$3 flags=$4 go bin
  bin=$target.new
  go=$(go_command) || return 1
  rm -rf "$bin"
  mkdir -p "$bin" "$CACHE/go-build"
  echo "$("$go" version): installing $package"
  GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS='-buildvcs=false' GOBIN=$bin GO111MODULE=on GOPATH=$CACHE/go-build/path \
    GOMODCACHE=${GOMODCACHE:-$CACHE/go-build/mod} GOCACHE=${GOCACHE:-$CACHE/go-build/cache} \
    nice -n 5 "$go" install -v -trimpath -modcacherw -ldflags "-s -w $flags" "$package" || return 1
  mv -fT "$bin/$program" "$target.program"
  rm -rf "$bin"
  mv -fT "$target.program" "$target"
}

# What only builds need; called once everything is built.
go_clean() { rm -rf "$CACHE/go-build" "$CACHE"/go-[0-9]*; }
