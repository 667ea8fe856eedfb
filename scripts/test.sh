#!/usr/bin/env bash
# Sets everything up, checks style and types, and runs all tests: bash scripts/test.sh
# Arguments go to pytest, for example: bash scripts/test.sh tests/core -k gaussian
# Without any, files of tests are shared out to processes, each with a screen of its own (pytest-xvfb).
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh

python=$PWD/.venv/bin/python
failed=()
check() {
    local name=$1
    shift
    echo "== $name"
    "$@" </dev/null || failed+=("$name")
}

check "ruff check" "$python" -m ruff check .
check "ruff format" "$python" -m ruff format --check .
check "import contracts" "$PWD/.venv/bin/lint-imports"
check "docstrings" "$PWD/.venv/bin/numpydoc" lint $(find src -name '*.py')
check "shapes of arrays" "$python" scripts/check_shapes.py
check "mypy" "$python" -m mypy
[ $# -gt 0 ] || set -- --numprocesses logical --maxprocesses 4 --dist loadfile
# napari then complains at once when a layer is touched outside the main thread.
export NAPARI_ENSURE_PLUGIN_MAIN_THREAD=1
check "pytest" bash scripts/display.sh "$python" -m pytest "$@"

if [ ${#failed[@]} -gt 0 ]; then
    (IFS=,; echo "FAILED: ${failed[*]}" >&2)
    exit 1
fi
