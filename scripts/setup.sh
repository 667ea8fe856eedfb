#!/usr/bin/env bash
# Makes .venv with the package and everything it needs; the second call returns at once.
# Another interpreter: PYTHON=python3.12 bash scripts/setup.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/system.sh

log=.setup.log
venv=.venv

supported() {
    command -v "$1" >/dev/null &&
        "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    local candidate candidates=(python3.13 python3.12 python3.11 python3 python)
    # A name that was given is used or refused; something else in its place would surprise.
    if [ -n "${PYTHON:-}" ]; then
        candidates=("$PYTHON")
    fi
    for candidate in "${candidates[@]}"; do
        if supported "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

get_python() {
    if find_python; then
        return 0
    fi
    if [ -z "${PYTHON:-}" ] && may_install; then
        # Debian 12 and Ubuntu 24.04 have a new enough python3; Ubuntu 22.04 has it beside it.
        install_system "$log" python3-venv >&2 || true
        find_python && return 0
        install_system "$log" python3.11-venv >&2 || true
        find_python && return 0
    fi
    echo "Python 3.11 or later is needed and ${PYTHON:-python3} is not that." >&2
    echo "Install one, or name it: PYTHON=/path/to/python bash $0" >&2
    return 1
}

# An environment that was moved, or whose making was interrupted, is made again.
is_whole() { "$venv/bin/python" -m pip --version >/dev/null 2>&1 && supported "$venv/bin/python"; }

make_environment() {
    local python version
    python=$(get_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        # Debian packages these apart from Python itself.
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        install_system "$log" "python$version-venv"
    fi
    run_logged "$log" "$python" -m venv --clear "$venv"
}

stamp() {
    { pwd && cat pyproject.toml && "$venv/bin/python" --version; } | sha256sum | cut -d ' ' -f 1
}

if is_whole && [ "$(cat "$venv/setup-stamp" 2>/dev/null)" = "$(stamp)" ]; then
    exit 0
fi
: >"$log"
if ! is_whole; then
    make_environment
fi
echo "Installing into $venv, $("$venv/bin/python" --version) (torch is large: the first time" \
    "takes minutes; the log is $log) ..."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1
run_logged "$log" "$venv/bin/python" -m pip install --upgrade "pip>=25.1"
run_logged "$log" "$venv/bin/python" -m pip install --editable ".[all]" --group dev
stamp >"$venv/setup-stamp"
echo "Set up."
