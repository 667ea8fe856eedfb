#!/usr/bin/env bash
# Sets everything up, checks style and types, and runs all tests: bash scripts/test.sh
# Arguments go to pytest, for example: bash scripts/test.sh tests/core -k gaussian
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
# napari says so at once when a layer is touched outside the main thread.
export NAPARI_ENSURE_PLUGIN_MAIN_THREAD=1
exec bash scripts/display.sh .venv/bin/python -m pytest "$@"
