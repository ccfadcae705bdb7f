#!/usr/bin/env bash
# demo.sh [switchover|failover|all|kill]: from nothing to a switchover of PostgreSQL, its failover, every tier moved in turn, or
# the active node of every tier killed in turn, under load: set-up, the stack, Temporal and a worker, then the demo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
demo=${1:-switchover}
if [[ ' switchover failover all kill ' != *" $demo "* ]]; then
  echo "Error: there is no demo \"$demo\". Next: npm run demo -- switchover, or failover, all, kill [BadInput]" >&2
  exit 2
fi
bash scripts/setup.sh
exec node dist/bench/demo.js "$demo" "${@:2}"
