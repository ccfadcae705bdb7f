#!/usr/bin/env bash
# demo.sh [switchover]: from nothing to a switchover under load: set-up, the stack, Temporal and a worker, then the demo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
demo=${1:-switchover}
if [[ $demo != switchover ]]; then
  echo "Error: there is no demo \"$demo\". Next: npm run demo [BadInput]" >&2
  exit 2
fi
bash scripts/setup.sh
exec node dist/bench/demo.js
