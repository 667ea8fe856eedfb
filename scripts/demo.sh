#!/usr/bin/env bash
# Sets everything up and segments the bundled photographs: bash scripts/demo.sh
# Further arguments go to the command, for example: bash scripts/demo.sh --gui
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
for argument in "$@"; do
    if [ "$argument" = --gui ] && [ "$(uname)" = Linux ]; then
        if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
            echo "--gui needs a screen and there is none here: leave it out," \
                "or log in with X forwarding (ssh -X)." >&2
            exit 1
        fi
        . scripts/system.sh
        install_system .setup.log "${qt_packages[@]}"
    fi
done
exec .venv/bin/napari-gaussproto demo "$@"
