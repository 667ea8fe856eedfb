#!/usr/bin/env bash
# Makes .venv with the package and everything it needs; the second call returns at once.
# Another interpreter: PYTHON=python3.12 bash scripts/setup.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/system.sh

log=.setup.log
venv=.venv

supported() { "$1" -c 'import sys; raise SystemExit(not sys.version_info >= (3, 11))' 2>/dev/null; }

find_python() {
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null && supported "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    echo "No Python 3.11 or later was found: install one, or name it: PYTHON=/path/to/python bash $0" >&2
    return 1
}

run_logged() {
    if ! "$@" >>"$log" 2>&1; then
        echo "Setting up failed at: $*. The end of $log:" >&2
        tail -n 25 "$log" >&2
        return 1
    fi
}

python=$(find_python)
stamp=$( (cat pyproject.toml; "$python" --version) | sha256sum | cut -d ' ' -f 1)
if [ "$(cat "$venv/setup-stamp" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi

: >"$log"
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian splits the venv module off.
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    install_system "python$version-venv"
fi
echo "Setting up $venv with $("$python" --version) (torch is large: minutes the first time; log in $log) ..."
[ -x "$venv/bin/python" ] || run_logged "$python" -m venv "$venv"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
run_logged "$venv/bin/python" -m pip install --upgrade "pip>=25.1"
run_logged "$venv/bin/python" -m pip install --editable ".[all]" --group dev
echo "$stamp" >"$venv/setup-stamp"
