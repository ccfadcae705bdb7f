#!/usr/bin/env bash
# load_test.sh [option…]: orders through HAProxy for a minute, or until it is interrupted; says every second what came of
# them, and at the end the success rate and whether every acknowledged order is in PostgreSQL.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
# Builds what is older than its source.
bin/veloz-ha --version >/dev/null
exec node dist/bench/load-test.js "$@"
