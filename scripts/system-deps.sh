#!/usr/bin/env bash
# System packages that QFw needs and Python's installers cannot provide.
#
#   scripts/system-deps.sh auto      as root on a Debian-like system: says what it installs, and
#                                    installs it. Otherwise says what is missing. Never uses sudo.
#   scripts/system-deps.sh install   the same, and fails where it cannot install
#   scripts/system-deps.sh list      what is needed and whether it is here
#
# QFW_NO_SYSTEM_DEPS=1 keeps `auto` from installing. PYTHON is the interpreter to check.
set -euo pipefail

python=${PYTHON:-python3}

# Debian package, and the function below that tells whether what it brings works.
SYSTEM_PACKAGES=(
    "python3-venv have_venv"
    "gcc          have_compiler"
    "libc6-dev    have_compiler"
    "make         have_make"
)

# ensurepip, because Debian ships `venv` without what it needs to make an environment. Debian's
# package mends only Debian's own interpreter.
have_venv() {
    case $(command -v "$python" || echo "$python") in
        python3 | /bin/python3 | /usr/bin/python3) "$python" -c 'import ensurepip, venv' 2>/dev/null ;;
        *) true ;;
    esac
}
have_compiler() { echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - 2>/dev/null; }
have_make() { command -v make >/dev/null; }

missing=()
for entry in "${SYSTEM_PACKAGES[@]}"; do
    read -r package check <<<"$entry"
    if "$check"; then state=here; else state=missing && missing+=("$package"); fi
    if [ "${1:-auto}" = list ]; then printf '%-16s %s\n' "$package" "$state"; fi
done

say() { echo "system packages: $*" >&2; }

install() {
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null
    apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
}

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

case ${1:-auto} in
    list) ;;
    auto)
        if [ ${#missing[@]} = 0 ]; then
            :
        elif [ "${QFW_NO_SYSTEM_DEPS:-}" = 1 ]; then
            say "missing: ${missing[*]} (QFW_NO_SYSTEM_DEPS=1: not installed)"
        elif can_install; then
            # What still fails is told by whatever needs it.
            install || say "could not install ${missing[*]}"
        else
            say "missing: ${missing[*]}. As root, run: make system-deps"
        fi
        ;;
    install)
        if [ ${#missing[@]} = 0 ]; then
            say "all here"
        elif can_install; then
            install
        elif command -v apt-get >/dev/null; then
            say "missing: ${missing[*]}. Only root may install them: make system-deps"
            exit 1
        else
            say "missing what Debian calls: ${missing[*]}. Install this system's equivalents."
            exit 1
        fi
        ;;
    *)
        echo "usage: $0 [auto|install|list]" >&2
        exit 2
        ;;
esac
