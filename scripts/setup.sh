#!/usr/bin/env bash
# Gets this machine ready for the stack, its workflows and their tests, and does nothing where it is ready. What each
# part does, and how to remove all of it, is in docs/set-up.md.
set -uo pipefail

SETUP_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/setup" && pwd)
ROOT=$(cd "$SETUP_DIR/../.." && pwd)
CACHE=$HOME/.cache/veloz-ha
LOG=$CACHE/setup.log

PARTS=(docker-engine compose base-image node-modules build images temporal)

usage() {
  cat <<TEXT
Usage: scripts/setup.sh [options]

  --yes          install packages without asking (as with CI=true, and where there is no terminal to ask on)
  --no-install   install no packages: fail where one is missing
  --check        change nothing, say what would be done; exit status 3 where something is missing
  --only <part>  this part alone; may be given several times
  --quiet        say nothing about parts that are ready
  --help         this text

Parts: ${PARTS[*]}
TEXT
}

usage_error() {
  printf 'Error: %s\nNext: scripts/setup.sh --help\n' "$1" >&2
  exit 2
}

ASSUME_YES='' NO_INSTALL='' CHECK='' QUIET='' ONLY=()
if [[ -n ${CI:-} && ${CI,,} != false && $CI != 0 ]]; then ASSUME_YES=yes; fi
while (($# > 0)); do
  case $1 in
    --yes | -y) ASSUME_YES=yes ;;
    --no-install) NO_INSTALL=yes ;;
    --check) CHECK=yes ;;
    --quiet | -q) QUIET=yes ;;
    --only)
      [[ " ${PARTS[*]} " == *" ${2:-} "* && -n ${2:-} ]] || usage_error "--only takes one of: ${PARTS[*]}."
      ONLY+=("$2")
      shift
      ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) usage_error "unknown option '$1'." ;;
  esac
  shift
done

mkdir -p "$CACHE/bin" "$CACHE/images" || exit 1
# One earlier log is enough to look back to.
if [[ -s $LOG && $(stat -c %s "$LOG") -gt 2000000 ]]; then mv -f "$LOG" "$LOG.1"; fi

# shellcheck source=scripts/setup/progress.sh
source "$SETUP_DIR/progress.sh"
# shellcheck source=scripts/setup/machine.sh
source "$SETUP_DIR/machine.sh"
# shellcheck source=scripts/setup/go-toolchain.sh
source "$SETUP_DIR/go-toolchain.sh"
# shellcheck source=scripts/setup/apt-mirror.sh
source "$SETUP_DIR/apt-mirror.sh"
# shellcheck source=scripts/setup/docker-engine.sh
source "$SETUP_DIR/docker-engine.sh"
# shellcheck source=scripts/setup/compose-command.sh
source "$SETUP_DIR/compose-command.sh"
# shellcheck source=scripts/setup/compose.sh
source "$SETUP_DIR/compose.sh"
# shellcheck source=scripts/setup/base-image.sh
source "$SETUP_DIR/base-image.sh"
# shellcheck source=scripts/setup/node-modules.sh
source "$SETUP_DIR/node-modules.sh"
# shellcheck source=scripts/setup/build.sh
source "$SETUP_DIR/build.sh"
# shellcheck source=scripts/setup/images.sh
source "$SETUP_DIR/images.sh"
# shellcheck source=scripts/setup/temporal.sh
source "$SETUP_DIR/temporal.sh"

# end_group <pid>: ends a command that `work` or temporal_start began, with all that it started.
# shellcheck disable=SC2317 # reached by the traps
end_group() {
  [[ -n $1 ]] || return 0
  kill -TERM -- "-$1" 2>/dev/null || return 0
  wait "$1" 2>/dev/null || true
  # What it started may take a moment more to clean up, and what is removed next must not be written to any more.
  for _ in {1..30}; do
    kill -0 -- "-$1" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL -- "-$1" 2>/dev/null || true
}

# shellcheck disable=SC2317
on_exit() {
  end_group "$WORK_PID"
  end_group "$TEMPORAL_PID"
  if ((${#TEMPORARY[@]} > 0)); then rm -rf "${TEMPORARY[@]}"; fi
}

# shellcheck disable=SC2317
on_interrupt() {
  trap '' INT TERM
  clear_line
  if [[ -n $WORK_FINISHES && -n $WORK_PID ]]; then
    echo 'Stopping as soon as the packages are installed.' >&2
    wait "$WORK_PID"
    WORK_PID=''
  fi
  echo 'Interrupted. What is done is kept; the same command goes on from there.' >&2
  exit 130
}
trap on_exit EXIT
trap on_interrupt INT TERM

# Two set-ups at once would build the same things over each other.
exec 9>"$CACHE/setup.lock"
if ! flock -n 9; then
  [[ -n $CHECK ]] || echo "Another set-up is running; waiting for it (its log: $LOG)." >&2
  if [[ -z $CHECK ]] && ! flock -w 2400 9; then
    PART_TITLE='' fail 'another set-up has been running for 40 minutes.' "it holds $CACHE/setup.lock." \
      "end it"
  fi
fi

selected() { ((${#ONLY[@]} == 0)) || [[ " ${ONLY[*]} " == *" $1 "* ]]; }

MISSING=0
note "set-up of $ROOT on $(distribution), $(architecture)"
check_node
# By far the longest part where it has to be built, and one that needs nothing of the others.
if ((${#ONLY[@]} == 0)) && [[ -z $CHECK ]] && ! temporal_observe; then
  temporal_start
fi
for part in "${PARTS[@]}"; do
  selected "$part" || continue
  run_part "$part"
done
if [[ -n $CHECK ]]; then
  ((MISSING == 0)) || exit 3
  exit 0
fi
if ((${#ONLY[@]} == 0)); then go_clean; fi
exit 0
