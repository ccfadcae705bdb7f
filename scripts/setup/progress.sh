# shellcheck shell=bash disable=SC2034 # what one part sets, another reads
# What set-up shows and records: one line a part on stderr, every detail in the log file, and one message where
# something can't be had. Sourced by setup.sh.
#
# A part is three names: <part>_title (a variable), <part>_observe and <part>_apply. `observe` changes nothing; it sets
# FOUND to a sentence and returns 0 where all is there, or sets PLANNED to what would be done and returns 1. `apply` does
# it. After `apply` set-up observes again, so a part that only believes that it succeeded is found out.

FOUND=''
PLANNED=''
# The process group that a running `work` must not outlive, and whether it has to be let finish (a package manager that
# is killed in the middle leaves the machine half-configured).
WORK_PID=''
WORK_FINISHES=''
WORK_OFFSET=0
PART_TITLE='Set-up'

if [[ "$(locale charmap 2>/dev/null)" == UTF-8 ]]; then
  MARK_DONE='✔' MARK_BUSY='▶' MARK_FAIL='✖' ELLIPSIS='…'
else
  MARK_DONE='+' MARK_BUSY='>' MARK_FAIL='x' ELLIPSIS='...'
fi

# Seconds since the epoch with milliseconds, as bash 4 has no better clock than its own printf on some machines.
now_ms() {
  local t=${EPOCHREALTIME:-}
  if [[ -n $t ]]; then
    t=${t/,/.}
    echo "$((${t%.*} * 1000 + 10#${t#*.} / 1000))"
  else
    date +%s%3N
  fi
}

# duration <milliseconds> → "0.4 s", "2 min 05 s"
duration() {
  if (($1 < 60000)); then
    printf '%d.%d s' $(($1 / 1000)) $(($1 % 1000 / 100))
  else
    printf '%d min %02d s' $(($1 / 60000)) $(($1 / 1000 % 60))
  fi
}

clear_line() { if [[ -t 2 ]]; then printf '\r\033[K' >&2; fi; }

# line <mark> <text> [duration]
line() {
  clear_line
  printf '%s %-15s %s%s\n' "$1" "$PART_TITLE" "$2" "${3:+  ($3)}" >&2
}

note() { printf '%s %s\n' "$(date '+%F %T')" "$*" >>"$LOG"; }

# A sentence that the user should see but that stops nothing.
warn() {
  note "warning: $*"
  clear_line
  printf '  %s\n' "$*" >&2
}

# What the command that ran last wrote: the cause in its own words, without the noise of earlier parts.
last_words() {
  tail -c "+$((WORK_OFFSET + 1))" "${1:-$LOG}" 2>/dev/null | tr '\r' '\n' |
    grep -vE '^[[:space:]]*$|^[0-9-]{10} [0-9:]{8} (\$ |ended with status)' | tail -n "${2:-6}"
}

# fail <what> <why> <next>: the one message of a set-up that can't go on. Never returns. Each "next" ends with running
# the same command again, as set-up goes on from where it was.
fail() {
  local what=$1 why=$2 next=$3
  note "failed: $what | $why | $next"
  [[ -n ${PART_TITLE:-} ]] && line "$MARK_FAIL" 'failed'
  {
    printf '\nError: %s\n' "$what"
    printf 'Why: %s\n' "${why//$'\n'/$'\n'     }"
    printf 'Next: %s; then run the same command again.\n' "${next%.}"
    printf 'Log: %s\n' "$LOG"
  } >&2
  exit 1
}

# follow <pid> <log> <sentence>: shows that a long part lives until it ends, and returns its exit status. On a terminal
# one line is redrawn; elsewhere a line is appended at the start and every half minute.
follow() {
  local pid=$1 log=$2 says=$3 start columns=80 last shown elapsed
  start=$(now_ms)
  shown=0
  WORK_PID=$pid
  if [[ -t 2 ]]; then
    columns=$(tput cols 2>/dev/null || echo 80)
  else
    line "$MARK_BUSY" "$says"
  fi
  while kill -0 "$pid" 2>/dev/null; do
    elapsed=$(($(now_ms) - start))
    if [[ -t 2 ]]; then
      last=$(tail -c 400 "$log" 2>/dev/null | tr '\r' '\n' | tail -n 1)
      last="$MARK_BUSY $(printf '%-15s' "$PART_TITLE") $(duration "$elapsed")  $says  $last"
      printf '\r\033[K%s' "${last:0:columns-1}" >&2
    elif ((elapsed / 30000 > shown)); then
      shown=$((elapsed / 30000))
      last=$(tail -c 400 "$log" 2>/dev/null | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1)
      printf '  %s %s: %s\n' "$ELLIPSIS" "$(duration "$elapsed")" "${last:0:100}" >&2
    fi
    sleep 0.1
  done
  clear_line
  local status=0
  wait "$pid" || status=$?
  WORK_PID=''
  WORK_FINISHES=''
  return "$status"
}

# work <sentence> <command> [argument…]: runs a command (or a function, in a subshell) in a process group of its own
# with its output in the log, and follows it.
work() {
  local says=$1 status=0
  shift
  note "\$ $*"
  WORK_OFFSET=$(stat -c %s "$LOG")
  set -m
  "$@" >>"$LOG" 2>&1 </dev/null 9>&- &
  set +m
  follow $! "$LOG" "$says" || status=$?
  note "ended with status $status"
  return "$status"
}

# run_part <part>: observe, apply where something is missing, observe again.
run_part() {
  local part=$1 start title="${1//-/_}_title"
  local observe="${1//-/_}_observe" apply="${1//-/_}_apply"
  PART_TITLE=${!title}
  start=$(now_ms)
  FOUND='' PLANNED=''
  if "$observe"; then
    [[ -n $QUIET ]] || line "$MARK_DONE" "$FOUND" "$(duration $(($(now_ms) - start)))"
    return 0
  fi
  if [[ -n $CHECK ]]; then
    line "$MARK_BUSY" "would $PLANNED"
    MISSING=$((MISSING + 1))
    return 0
  fi
  note "$part: $PLANNED"
  "$apply"
  FOUND=''
  if ! "$observe"; then
    fail "$PART_TITLE: set-up did what was missing, and it is still missing." "still to do: $PLANNED" \
      "read the log"
  fi
  line "$MARK_DONE" "$FOUND" "$(duration $(($(now_ms) - start)))"
}
