# shellcheck shell=bash disable=SC2034
# Sourced: system packages of Debian and Ubuntu, installed where that is allowed.

# What Qt's xcb platform and napari's OpenGL canvas load at run time.
qt_packages=(
    libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0
    libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-shape0
    libxcb-xinerama0
)

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

may_install() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

is_installed() {
    # Debian 13 and Ubuntu 24.04 renamed libraries when time_t grew: libglib2.0-0t64.
    local name
    for name in "$1" "$1t64"; do
        # shellcheck disable=SC2016 # the format is dpkg's, not the shell's
        if dpkg-query -W -f '${Status}\n' "$name" 2>/dev/null | grep -q "ok installed"; then
            return 0
        fi
    done
    return 1
}

# Runs a command with its output in a file; on failure shows the end of that and what failed.
run_logged() {
    local log=$1
    shift
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 25 "$log" >&2
        echo "This failed: $*" >&2
        echo "The whole output is in $log" >&2
        if tail -n 25 "$log" | grep -q "No space left on device"; then
            echo "The disk is full. torch with its CUDA libraries, Qt and the rest take 8 GB here" \
                "($PWD) and, while they are installed, some in ${TMPDIR:-/tmp}: make room, and call" \
                "this again." >&2
        fi
        return 1
    fi
}

# install_system LOG PACKAGE... : makes sure that packages are there, or says which are missing.
install_system() {
    local log=$1 missing=() name
    shift
    if ! command -v dpkg-query >/dev/null; then
        return 0 # another system: what is missing shows itself
    fi
    for name in "$@"; do
        is_installed "$name" || missing+=("$name")
    done
    if [ ${#missing[@]} = 0 ]; then
        return 0
    fi
    if ! may_install; then
        echo "These system packages are missing: ${missing[*]}" >&2
        echo "Have an administrator run this, then try again: apt-get install ${missing[*]}" >&2
        return 1
    fi
    echo "Installing system packages: ${missing[*]}"
    # An unreachable third-party source is no reason to stop; a missing package is.
    run_logged "$log" as_root apt-get -q update || echo "Going on with the lists at hand." >&2
    run_logged "$log" as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}"
}
