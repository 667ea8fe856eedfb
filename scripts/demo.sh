#!/usr/bin/env bash
# Sets everything up and segments the bundled photographs: bash scripts/demo.sh
# Further arguments go to the command, for example: bash scripts/demo.sh --gui
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
exec .venv/bin/napari-gaussproto demo "$@"
