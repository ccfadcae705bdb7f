# shellcheck shell=bash
# The part "images": the images that the compose file names and builds, each labelled with a hash of what went into it,
# so that an unchanged tree builds nothing.

# shellcheck disable=SC2034 # read by run_part
images_title='Images'

COMPOSE_FILE_HA=$ROOT/docker/docker-compose.ha.yml
IMAGES_PLANNED=()

# One line an image: name, context, Dockerfile, hash of its inputs, further arguments of `docker build`.
image_list() {
  local base
  base=$(docker image inspect --format '{{.Id}}' "$BASE_IMAGE" 2>/dev/null || echo none)
  node "$SETUP_DIR/image-list.js" "$COMPOSE_FILE_HA" "$base"
}

images_observe() {
  local list row name hash there wanted=() present
  local format='{{range .RepoTags}}{{.}} {{end}}{{index .Config.Labels "io.veloz.inputs"}}'
  PLANNED='build the images of the stack'
  IMAGES_PLANNED=()
  if [[ ! -d $ROOT/node_modules/yaml ]]; then
    [[ -n $CHECK ]] && return 1
    fail 'the images can not be built yet.' 'the npm packages are missing.' 'bash scripts/setup.sh --only node-modules'
  fi
  # The build makes it, and its contents are part of what the engine's image is told by.
  if [[ ! -s $ROOT/docker/engine/dist/engine.js ]]; then
    [[ -n $CHECK ]] && return 1
    fail 'the images can not be built yet.' 'docker/engine/dist/engine.js is missing.' 'bash scripts/setup.sh --only build'
  fi
  if ! list=$(image_list 2>&1); then
    fail 'the compose file could not be read.' "$list" "mend $COMPOSE_FILE_HA"
  fi
  while IFS=$'\t' read -r name _ _ hash _; do wanted+=("$name $hash"); done <<<"$list"
  # One call for all of them: a missing image is an error that leaves the others' lines.
  present=$(docker image ls --filter label=io.veloz.inputs --format '{{.Repository}}:{{.Tag}}' 2>/dev/null |
    xargs -r docker image inspect --format "$format" 2>/dev/null)
  while IFS=$'\t' read -r name _ _ hash _; do
    there=''
    while read -r row; do [[ " $row " == *" $name "* && $row == *" $hash" ]] && there=yes; done <<<"$present"
    [[ -n $there ]] || IMAGES_PLANNED+=("$name")
  done <<<"$list"
  if ((${#IMAGES_PLANNED[@]} > 0)); then
    PLANNED="build ${IMAGES_PLANNED[*]}"
    return 1
  fi
  FOUND="${#wanted[@]} up to date"
}

images_apply() {
  local list fields name
  list=$(image_list)
  while IFS=$'\t' read -r -a fields; do
    name=${fields[0]}
    [[ " ${IMAGES_PLANNED[*]} " == *" $name "* ]] || continue
    if ! work "building $name" image_build "${fields[@]//$'\x01'/$'\n'}"; then
      fail "the image $name could not be built." "$(last_words "$LOG" 8)" \
        "read the log (no network? a mirror that is gone?)"
    fi
  done <<<"$list"
}

# image_build <name> <context> <Dockerfile> <hash> [argument…]
# The machine's network is the build's network: what lets apt work here (a name server or a proxy on localhost too) lets
# it work there. Both builders are fine; the classic one is chosen where BuildKit's client part is missing.
image_build() {
  local name=$1 context=$2 dockerfile=$3 hash=$4 arguments=("${@:5}") old new
  if docker buildx version >/dev/null 2>&1; then arguments+=(--progress plain --load); else export DOCKER_BUILDKIT=0; fi
  old=$(docker image inspect --format '{{.Id}}' "$name" 2>/dev/null || true)
  docker build --network host --label "io.veloz.inputs=$hash" --label io.veloz.cluster=veloz "${arguments[@]}" \
    -t "$name" -f "$dockerfile" "$context" || return 1
  new=$(docker image inspect --format '{{.Id}}' "$name")
  # The image that lost its name is of no use, unless a container still runs it; then it stays. So does one that somebody gave another name
  # (docs/upgrade.md): removed by its id, it would lose that too.
  if [[ -n $old && $old != "$new" && $(docker image inspect --format '{{len .RepoTags}}' "$old" 2>/dev/null) == 0 ]]; then
    docker image rm "$old" 2>/dev/null || true
  fi
}
