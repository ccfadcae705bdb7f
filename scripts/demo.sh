#!/usr/bin/env bash
# demo.sh [switchover|failover|all]: from nothing to a switchover of PostgreSQL, its failover, or every tier moved in turn,
# under load: set-up, the stack, Temporal and a worker, then the demo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
demo=${1:-switchover}
if [[ ' switchover failover all ' != *" $demo "* ]]; then
  echo "Error: there is no demo \"$demo\". Next: npm run demo -- switchover, or failover, or all [BadInput]" >&2
  exit 2
fi
bash scripts/setup.sh
exec node dist/bench/demo.js "$demo" "${@:2}"
