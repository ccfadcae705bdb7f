#!/usr/bin/env bash
# failover.sh <postgres|redis|engine> <status|promote|failover|switchover> [option…]: the guide's words for veloz-ha.
# Shows the plan and asks before anything is changed; --plan only shows it, --yes does not ask.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: failover.sh <tier> <action> [option…]

  postgres status        members of the cluster, and what is not as it should be
  postgres promote       unplanned: fence a primary that failed, promote a standby (failover is the same)
  postgres switchover    planned: move the primary to a standby
  redis status           nodes and Sentinels
  redis failover         move the master to its replica (promote and switchover are the same)
  engine status          engines and HAProxy
  engine switchover      hand the orders to the other engine (promote and failover are the same: the death of an
                         engine needs no command, the other one takes over by itself)

Options go to veloz-ha: --plan, --yes, --to NODE, --reason TEXT, --help, … Every action but status shows its plan and
asks first.
TEXT
}

wrong() {
  printf 'Error: %s. Next: scripts/failover.sh --help [BadInput]\n' "$1" >&2
  exit 2
}

case "${1:-}" in
-h | --help | help)
  usage
  exit 0
  ;;
'') wrong 'which tier? There are: postgres, redis, engine' ;;
postgres | redis | engine) tier=$1 ;;
*) wrong "there is no tier \"$1\", only: postgres, redis, engine" ;;
esac

case "$tier ${2:-}" in
*' status') action=status ;;
'postgres promote' | 'postgres failover') action=promote ;;
'postgres switchover') action=switchover ;;
'redis promote' | 'redis failover' | 'redis switchover') action=failover ;;
'engine promote' | 'engine failover' | 'engine switchover') action=switchover ;;
*' ') wrong "what about $tier? There are: status, promote, failover, switchover" ;;
*) wrong "there is no action \"$2\", only: status, promote, failover, switchover" ;;
esac
shift 2

exec "$(dirname "${BASH_SOURCE[0]}")/../bin/veloz-ha" "$tier" "$action" "$@"
