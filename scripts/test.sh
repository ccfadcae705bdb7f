#!/usr/bin/env bash
# test.sh [jest argument…]: set-up, then lint, type check and format check, then jest. Goes on after a failure, so that
# one run shows all of them; the exit status is 1 if anything failed. Run it as `npm test -- [jest argument…]`.
#
#   VELOZ_HA_JEST_JSON      where jest writes its results as JSON (default: a temporary file)
#   VELOZ_HA_SEED           which sample of the crash matrices and of the long suites is tried (default: 1)
#   VELOZ_HA_TESTS          "all": no sample, everything
#   VELOZ_HA_TEST_SUMMARY   a file that gets "<passed> <failed>" at the end
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

results=${VELOZ_HA_JEST_JSON:-}
if [[ -z $results ]]; then
  results=$(mktemp)
  trap 'rm -f "$results"' EXIT
fi
# A result of an earlier run must not pass for one of this run.
rm -f "$results"

# summary <passed> <failed>
summary() { if [[ -n ${VELOZ_HA_TEST_SUMMARY:-} ]]; then echo "$1 $2" >"$VELOZ_HA_TEST_SUMMARY"; fi; }
summary 0 1

bash scripts/setup.sh --yes || exit 1

failed_checks=()
# check <name> <command> [argument…]
check() {
  local name=$1
  shift
  printf '\n== %s\n' "$name"
  if "$@"; then
    echo "$name: passed"
  else
    echo "$name: failed"
    failed_checks+=("$name")
  fi
}

check 'lint' npm run -s lint
check 'type check' npm run -s typecheck
check 'format check' npm run -s format:check

printf '\n== tests (%s)\n' "${VELOZ_HA_TESTS:-sample ${VELOZ_HA_SEED:-1}}"
jest_status=0
# jest <results> <argument…>
jest() {
  local into=$1
  shift
  npx --no-install jest --ci --json --outputFile="$into" "$@" || jest_status=$?
}
if [[ " $* " == *" --selectProjects"* ]]; then
  jest "$results" "$@"
else
  # Those that need no stack run side by side; those on the stack come after them, alone: what they measure is time.
  rm -f "$results.unit" "$results.e2e"
  jest "$results.unit" --maxWorkers=2 --passWithNoTests "$@" --selectProjects unit
  jest "$results.e2e" --passWithNoTests "$@" --selectProjects e2e
  # A run without results did not happen: nothing is joined, and the count below fails.
  node -e '
    const fs = require("node:fs");
    const [into, ...from] = process.argv.slice(1);
    const runs = from.map((file) => JSON.parse(fs.readFileSync(file, "utf8")));
    const joined = Object.fromEntries(
      Object.entries(runs[0]).map(([name, value]) => {
        const all = runs.map((run) => run[name]);
        if (Array.isArray(value)) return [name, all.flat()];
        if (name === "startTime") return [name, Math.min(...all)];
        if (typeof value === "number") return [name, all.reduce((sum, one) => sum + one, 0)];
        return [name, typeof value === "boolean" && name === "success" ? all.every(Boolean) : value];
      }),
    );
    fs.writeFileSync(into, JSON.stringify(joined));
  ' "$results" "$results.unit" "$results.e2e"
  rm -f "$results.unit" "$results.e2e"
fi

# Jest counts a suite that could not even start apart from its tests, and it can fail without a failed test (a broken
# global teardown, a coverage limit): each of these is a failure too.
if ! counted=$(node -e '
  const result = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"));
  console.log(result.numPassedTests, result.numFailedTests + result.numRuntimeErrorTestSuites);
' "$results" 2>/dev/null); then
  counted='0 1'
fi
read -r passed failed <<<"$counted"
if ((jest_status != 0 && failed == 0)); then failed=1; fi
failed=$((failed + ${#failed_checks[@]}))
# No test at all is not a success either.
if ((passed == 0 && failed == 0)); then failed=1; fi

summary "$passed" "$failed"
if ((${#failed_checks[@]} > 0)); then
  printf '\nFailed besides the tests:'
  printf ' [%s]' "${failed_checks[@]}"
  echo
fi
((failed == 0))
