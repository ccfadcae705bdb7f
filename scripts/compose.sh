#!/usr/bin/env bash
# compose.sh <argument…>: Docker Compose by whichever name this machine has it (`docker compose`, `docker-compose`, or
# the one that set-up has built). Its exit status is Compose's own.
set -euo pipefail

# shellcheck source=scripts/setup/compose-command.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup/compose-command.sh"

if ! find_compose; then
  printf 'Error: there is no Docker Compose.\nWhy: neither "docker compose" nor docker-compose was found.\nNext: %s\n' \
    'npm run setup; then run the same command again.' >&2
  exit 1
fi
exec "${COMPOSE[@]}" "$@"
