# shellcheck shell=bash
# The part "base-image": debian:trixie-slim, on which every image of the stack stands. One that is there is kept; else
# it is pulled; where no registry answers it is made with debootstrap from the mirror that this machine itself uses.

# shellcheck disable=SC2034 # read by run_part
base_image_title='Base image'

BASE_IMAGE=debian:trixie-slim
BASE_SUITE=trixie
BASE_FOLDER=$ROOT/docker/base
# A registry that answers names the image within seconds; the layers (30 MB) may then take their time.
PULL_ANSWER_SECONDS=20
PULL_SECONDS=300

base_image_observe() {
  local made
  PLANNED="pull $BASE_IMAGE, or make it with debootstrap where no registry answers"
  made=$(docker image inspect --format '{{with .Config.Labels}}{{index . "io.veloz.base"}}{{end}}' "$BASE_IMAGE" 2>&1) ||
    return 1
  FOUND="$BASE_IMAGE is there"
  [[ -n $made ]] && FOUND+=" (made here from $made)"
  return 0
}

base_image_apply() {
  local cached=$CACHE/images/debian-$BASE_SUITE-slim.tar.gz
  # A tarball in the cache means that no registry answered the last time.
  if [[ -s $cached ]] && [[ "$(cat "$cached.settings" 2>/dev/null)" == "$(base_settings)" ]]; then
    if work 'importing it from the cache' base_import "$cached" "$(cat "$cached.mirror")"; then return; fi
    warn 'the cached base image is of no use any more; making a new one.'
    rm -f "$cached" "$cached.settings" "$cached.mirror"
  fi
  if work "pulling $BASE_IMAGE" base_pull; then return; fi
  base_make "$cached"
}

# What the tarball was made with: a machine that moved to another network may need another mirror.
base_settings() {
  { apt_sources; apt_transport_settings; cat "$BASE_FOLDER"/*; } 2>/dev/null | sha256sum | cut -d ' ' -f 1
}

base_pull() {
  local output pid started=$SECONDS status=0
  output=$(mktemp)
  timeout "$PULL_SECONDS" docker pull "$BASE_IMAGE" >"$output" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if ((SECONDS - started >= PULL_ANSWER_SECONDS)) && ! grep -q 'Pulling from' "$output"; then
      kill "$pid"
      echo "the registry did not answer within $PULL_ANSWER_SECONDS s" >>"$output"
      break
    fi
    sleep 0.2
  done
  wait "$pid" || status=$?
  cat "$output"
  rm -f "$output"
  return "$status"
}

base_make() {
  local cached=$1 why
  why="no container registry answered ($(last_words "$LOG" 1))"
  if ! is_debian_like || [[ ! -x /usr/lib/apt/apt-helper ]]; then
    fail "the image $BASE_IMAGE can't be had." \
      "$why, and it can be made on Debian and Ubuntu only; this is $(distribution)." \
      "'docker pull $BASE_IMAGE' from a registry that you can reach (or 'docker load' it)"
  fi
  need_root "making the image $BASE_IMAGE"
  if ! has debootstrap && [[ ! -x /usr/sbin/debootstrap ]]; then
    permit 'Install debootstrap from the distribution, to make the base image' 'apt-get install debootstrap'
    apt_install debootstrap
  fi
  if ! find_debian_mirror "$BASE_SUITE"; then
    fail "the image $BASE_IMAGE can't be had." \
      "$why, and none of these mirrors has Debian $BASE_SUITE: $MIRRORS_TRIED" \
      "add a Debian mirror to apt's sources, or 'docker pull $BASE_IMAGE' from a registry that you can reach"
  fi
  if ! work "making it with debootstrap from $MIRROR (about a minute)" base_bootstrap "$cached"; then
    fail "the image $BASE_IMAGE could not be made." "$why; debootstrap: $(last_words)" \
      "read the log"
  fi
  if ! work 'importing it' base_import "$cached" "$MIRROR"; then
    rm -f "$cached" "$cached.settings" "$cached.mirror"
    fail "the image $BASE_IMAGE was made but does not work." "$(last_words)" "read the log"
  fi
}

# base_bootstrap <tarball>: makes the tree, packs it and removes it, in any case. Runs in a subshell of `work`.
base_bootstrap() {
  local cached=$1 tree status=0
  mkdir -p "$CACHE/images"
  tree=$(mktemp -d "$CACHE/images/tree.XXXXXX")
  # shellcheck disable=SC2064 # the names are known now
  trap "base_clean '$tree' '$cached.new'; exit 143" TERM INT
  base_bootstrap_in "$tree" "$cached" || status=1
  base_clean "$tree" "$cached.new"
  return "$status"
}

base_clean() { as_root rm -rf --one-file-system "$1" "$1.gpg" "$1.wgetrc" "$2"; }

base_bootstrap_in() {
  local tree=$1 cached=$2 script=() options=() proxy ca
  base_keyring "$tree.gpg"
  # An older debootstrap knows no trixie yet; Debian's releases have all been made alike for many years.
  [[ -e /usr/share/debootstrap/scripts/$BASE_SUITE ]] || script=(/usr/share/debootstrap/scripts/sid)
  proxy=$(apt_setting Acquire::http::Proxy)
  [[ -n $proxy && $proxy != DIRECT && -z ${http_proxy:-} ]] && export http_proxy=$proxy
  proxy=$(apt_setting Acquire::https::Proxy)
  [[ -n $proxy && $proxy != DIRECT && -z ${https_proxy:-} ]] && export https_proxy=$proxy
  ca=$(apt_setting Acquire::https::CaInfo)
  if [[ -n $ca ]]; then
    echo "ca_certificate = $ca" >"$tree.wgetrc"
    export WGETRC=$tree.wgetrc
  fi
  [[ $MIRROR == https:* ]] && options+=(--include=ca-certificates)

  as_root env PATH="$PATH:/usr/sbin:/sbin" ${http_proxy:+http_proxy="$http_proxy"} \
    ${https_proxy:+https_proxy="$https_proxy"} ${WGETRC:+WGETRC="$WGETRC"} \
    debootstrap --variant=minbase --keyring="$tree.gpg" "${options[@]}" \
    "$BASE_SUITE" "$tree" "$MIRROR" "${script[@]}" || {
    # Its own log holds what a failing package said; the last line of all is its verdict.
    tail -n 5 "$tree/debootstrap/debootstrap.log" 2>/dev/null
    return 1
  }
  base_configure "$tree" "$ca" || return 1
  local path without=()
  for path in dev proc sys var/lib/apt/lists var/cache/apt var/log; do without+=(--exclude="./$path/*"); done
  as_root tar --numeric-owner --one-file-system -C "$tree" "${without[@]}" -c . | gzip -1 >"$cached.new" || return 1
  base_settings >"$cached.settings"
  echo "$MIRROR" >"$cached.mirror"
  mv -f "$cached.new" "$cached"
}

# The keys that vouch for the mirror: Debian 13's own (an older system's keyring need not have it), what this machine
# knows of Debian, and the one that this machine's source is signed with.
base_keyring() {
  {
    binary_keyring "$BASE_FOLDER/debian-13.asc"
    cat /usr/share/keyrings/debian-archive-keyring.gpg 2>/dev/null
    if [[ -r $MIRROR_KEYRING && $MIRROR_KEYRING != *debian-archive* ]]; then binary_keyring "$MIRROR_KEYRING"; fi
  } >"$1"
}

# base_configure <tree> <certificates>: makes the tree what a slim image is (no manuals, no services started by
# packages), and gives it this machine's own way to the mirror.
base_configure() {
  local tree=$1 ca=$2 key=/usr/share/keyrings/debian-archive-keyring.gpg suites=$BASE_SUITE
  local stanza='Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n'
  if [[ -r $MIRROR_KEYRING && $MIRROR_KEYRING != *debian-archive* ]]; then
    key=/usr/share/keyrings/veloz-ha-mirror.gpg
    as_root install -m 644 "$tree.gpg" "$tree$key"
  fi
  apt_has "$MIRROR" "$BASE_SUITE-updates" && suites+=" $BASE_SUITE-updates"
  as_root rm -f "$tree/etc/apt/sources.list"
  # shellcheck disable=SC2059 # the format is the constant above
  {
    printf "$stanza" "$MIRROR" "$suites" "$key"
    if [[ -n $MIRROR_SECURITY ]]; then printf "$stanza" "$MIRROR_SECURITY" "$BASE_SUITE-security" "$key"; fi
  } | as_root tee "$tree/etc/apt/sources.list.d/debian.sources" >/dev/null
  if [[ -n $ca ]]; then
    # The same path as on this machine, as apt's setting names it.
    as_root install -D -m 644 "$ca" "$tree$ca"
  elif [[ $MIRROR == https:* && -r /etc/ssl/certs/ca-certificates.crt ]]; then
    # A certificate authority of this network's own is known to this machine, and must be to the image.
    as_root install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
  fi
  apt_transport_settings | as_root tee "$tree/etc/apt/apt.conf.d/90veloz-ha-host" >/dev/null
  as_root install -m 644 "$BASE_FOLDER/apt.conf" "$tree/etc/apt/apt.conf.d/80veloz-ha-image"
  as_root install -m 644 "$BASE_FOLDER/dpkg.cfg" "$tree/etc/dpkg/dpkg.cfg.d/veloz-ha-image"
  as_root install -m 755 "$BASE_FOLDER/policy-rc.d" "$tree/usr/sbin/policy-rc.d"
  as_root find "$tree/usr/share/doc" "$tree/usr/share/man" "$tree/usr/share/info" "$tree/usr/share/locale" \
    -mindepth 1 ! -type d ! -name copyright -delete
}

# base_import <tarball> <mirror>: the name is given only to an image that has shown that it can install packages.
base_import() {
  local image=veloz-ha/base:new
  local changes=(--change 'CMD ["bash"]' --change 'ENV LANG=C.UTF-8'
    --change "LABEL io.veloz.base=$2" --change 'LABEL io.veloz.cluster=veloz')
  if ! gzip -dc "$1" | docker import "${changes[@]}" --message 'Debian trixie, made by debootstrap' - "$image" ||
    ! docker run --rm --network host "$image" apt-get -o Acquire::Retries=1 -o APT::Update::Error-Mode=any update; then
    docker image rm -f "$image" >/dev/null 2>&1
    return 1
  fi
  docker tag "$image" "$BASE_IMAGE" && docker image rm "$image"
}
