#!/usr/bin/env bash
# demo.sh [switchover|failover]: from nothing to a switchover, or a failover, under load: set-up, the stack, Temporal and a
# worker, then the demo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
demo=${1:-switchover}
if [[ $demo != switchover && $demo != failover ]]; then
  echo "Error: there is no demo \"$demo\". Next: npm run demo -- switchover, or npm run demo -- failover [BadInput]" >&2
  exit 2
fi
bash scripts/setup.sh
exec node dist/bench/demo.js "$demo"
