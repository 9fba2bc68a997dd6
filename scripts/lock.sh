#!/usr/bin/env bash
# Writes the lock files: names, versions and hashes for every supported Python, no addresses.
#
#   scripts/lock.sh [--upgrade]      without --upgrade, versions move only where they must
#
# UV names the uv to use; the environment's own by default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

uv=${UV:-.venv/bin/uv}

compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate "$@" >/dev/null
}

compile pyproject.toml --all-extras requirements/dev.in -o requirements/dev.lock "$@"
# These two follow dev.lock, so that all three install together.
compile requirements/bootstrap.in -c requirements/dev.lock -o requirements/bootstrap.lock "$@"
compile requirements/bench.in -c requirements/dev.lock -o requirements/bench.lock "$@"

# One for each environment of `make test-versions`. The newest ones hold what dev.lock holds.
for environment in requirements/matrix/*.in; do
    constraints=()
    case $environment in *-newest.in) constraints=(-c requirements/dev.lock) ;; esac
    compile "$environment" --no-emit-package qfw ${constraints[@]+"${constraints[@]}"} \
        -o "${environment%.in}.lock" "$@"
done

if grep -n '://' requirements/*.lock requirements/matrix/*.lock; then
    echo "error: the lock files must not hold addresses" >&2
    exit 1
fi
