#!/usr/bin/env bash
# health_check.sh [option…]: what the guide's health check looks at, by `veloz-ha postgres|redis|engine status`: roles and
# connectivity, replication and its lag, the Sentinels, the engines, HAProxy. Needs no Temporal and changes nothing. The exit
# status is 0 where all is well, else that of the first tier that is not (8: unhealthy). Options go to veloz-ha: -q, -v.
set -uo pipefail
veloz_ha=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/bin/veloz-ha

case "${1:-}" in
-h | --help | help)
  sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}"
  exit 0
  ;;
esac

# Builds what is older than its source, once and not three times at once.
"$veloz_ha" --version >/dev/null || exit

# What is said goes through files.
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then set -- --color "$@"; fi

seen=$(mktemp -d)
trap 'rm -rf "$seen"' EXIT
tiers=(postgres redis engine)
# All at once: a tier that does not answer delays no other one.
for tier in "${tiers[@]}"; do
  ("$veloz_ha" "$tier" status "$@" >"$seen/$tier" 2>&1; echo $? >"$seen/$tier.code") &
done
wait

worst=0
verdicts=()
for tier in "${tiers[@]}"; do
  code=$(<"$seen/$tier.code")
  # A topology need not have every tier.
  if [[ $tier != postgres && $code == 2 ]] && grep -q '^Error: cluster .* has no ' "$seen/$tier"; then continue; fi
  if ((code == 0)); then verdicts+=("$tier healthy"); else verdicts+=("$tier UNHEALTHY"); fi
  if ((worst == 0)); then worst=$code; fi
  sed "s/^\(un\)\{0,1\}healthy/$tier: &/" "$seen/$tier"
  [[ " $* " == *" -q "* ]] || echo
done
[[ " $* " == *" -q "* ]] || (IFS=,; echo "Health check: ${verdicts[*]}" | sed 's/,/, /g')
exit "$worst"
