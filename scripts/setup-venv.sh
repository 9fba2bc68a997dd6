#!/usr/bin/env bash
# Makes the environment .venv and installs into it what the lock files name, then QFw itself.
#
#   scripts/setup-venv.sh            the environment of `make run` and `make test`
#   scripts/setup-venv.sh bench      adds the peers that benchmarks measure against
#
# PYTHON is the interpreter to make it with (python3 by default).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
venv=.venv
venv_python=$venv/bin/python

fail() {
    echo "error: $*" >&2
    exit 1
}
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

check_python() {
    command -v "$python" >/dev/null || fail "there is no '$python'. QFw needs Python 3.11 or later: PYTHON=/path/to/python3 make ..."
    local found
    found=$(version_of "$python") || fail "'$python' does not run. Name another: PYTHON=/path/to/python3 make ..."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "'$python' is Python $found. QFw needs 3.11 or later: PYTHON=/path/to/python3 make ..."
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "'$python' has no venv module. On Debian and Ubuntu the package is python3-venv: as root, make system-deps"
}

# An environment of another Python, or one whose Python is gone, is made anew.
make_environment() {
    if [ -x $venv_python ] && [ "$(version_of $venv_python)" = "$(version_of "$python")" ]; then
        return
    fi
    echo "making $venv with $("$python" --version)"
    "$python" -m venv --clear $venv
}

have_uv() { $venv_python -m uv --version >/dev/null 2>&1; }

bootstrap_uv() {
    have_uv && return
    $venv_python -m ensurepip >/dev/null 2>&1 || true
    $venv_python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
        --require-hashes -r requirements/bootstrap.lock || true
}

# uv takes seconds where pip takes half a minute; pip also serves where uv has no build for this
# machine, or where the site's package index is known to pip's configuration only.
install_locks() {
    echo "installing $*"
    if have_uv && $venv_python -m uv pip sync --quiet --python $venv_python --compile-bytecode \
        --require-hashes "$@"; then
        return
    fi
    echo "uv could not install these; trying pip" >&2
    $venv_python -m ensurepip >/dev/null 2>&1 || true
    $venv_python -m pip install --quiet --disable-pip-version-check --require-hashes \
        $(printf -- '-r %s ' "$@")
}

install_qfw() {
    if have_uv; then
        $venv_python -m uv pip install --quiet --python $venv_python --no-deps --no-build-isolation -e .
    else
        $venv_python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
    fi
}

locks=(requirements/dev.lock)
case ${1:-} in
    "") ;;
    bench) locks+=(requirements/bench.lock) ;;
    *)
        echo "usage: $0 [bench]" >&2
        exit 2
        ;;
esac

check_python
make_environment
bootstrap_uv
install_locks "${locks[@]}"
install_qfw
