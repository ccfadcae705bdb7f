#!/usr/bin/env bash
# bench.sh <bench> [option…]: set-up where it is needed, then the bench. Only the bench writes to stdout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bench=${1:?which bench? there are: switchover, failover, standby, rejoin, steady, engine, redis, chaos}
shift
benches=' switchover failover standby rejoin steady engine redis chaos '
if [[ $benches != *" $bench "* ]]; then
  echo "Error: there is no bench \"$bench\", only:$benches. Next: npm run bench:failover -- --help [BadInput]" >&2
  exit 2
fi
bash scripts/setup.sh --yes --quiet >&2
exec node "dist/bench/$bench.js" "$@"
