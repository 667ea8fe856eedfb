#!/usr/bin/env bash
# Runs a command with a screen of its own (Xvfb), with what Qt and OpenGL need:
#   bash scripts/display.sh .venv/bin/python scripts/screenshots.py
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/system.sh"

if [ "$(uname)" != Linux ]; then
    exec "$@" # macOS and Windows always have a screen
fi
install_system "$here/../.setup.log" xvfb xauth "${qt_packages[@]}"
if ! command -v xvfb-run >/dev/null; then
    echo "xvfb-run is missing: install Xvfb and the xcb libraries of Qt, then try again." >&2
    exit 1
fi
# Nothing of the desktop around it may lead Qt away from the screen made here.
unset WAYLAND_DISPLAY QT_QPA_PLATFORM
exec xvfb-run --auto-servernum --server-args "-screen 0 1600x1000x24" "$@"
