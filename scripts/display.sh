#!/usr/bin/env bash
# Runs a command with a screen of its own (Xvfb), with what Qt and OpenGL need:
#   bash scripts/display.sh .venv/bin/python scripts/screenshots.py
set -euo pipefail
. "$(dirname "$0")/system.sh"

has_xvfb() { command -v xvfb-run >/dev/null; }

if command -v dpkg-query >/dev/null; then
    install_system xvfb xauth libegl1 libgl1 libgl1-mesa-dri libxkbcommon-x11-0 libxcb-icccm4 \
        libxcb-keysyms1 libxcb-cursor0 libxcb-shape0 libxcb-image0 libxcb-render-util0 \
        libxcb-xinerama0 libdbus-1-3 libfontconfig1 libglib2.0-0
elif ! has_xvfb; then
    echo "xvfb-run is missing: install Xvfb and the xcb libraries that Qt needs." >&2
    exit 1
fi
exec xvfb-run --auto-servernum --server-args "-screen 0 1600x1000x24" "$@"
