#!/usr/bin/env bash
# Prepares a Debian machine that has Rust. Can be run again at any time: what is there is left alone.
#
#   bash scripts/setup.sh --run     what is needed to build and run playswarm (a C compiler for its dependencies)
#   bash scripts/setup.sh --test    that, and all that the tests use: real clients, players, Python, cargo tools
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LIBTORRENT=2.1.1
mode=${1:---run}

say() { printf '== %s\n' "$*"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "setup: '$*' needs root: run this as root, or install sudo" >&2
        exit 1
    fi
}

# Installs the Debian packages among the arguments that are missing.
packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    say "installing ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    # Debian starts the daemons of these packages as services; only the programs are wanted here.
    local service
    for service in transmission-daemon nginx tinyproxy lighttpd; do
        if [[ " ${missing[*]} " == *" $service"* ]] && [ -d /run/systemd/system ]; then
            as_root systemctl disable --now "$service" >/dev/null 2>&1 || true
        fi
    done
}

# Installs a cargo tool that is missing, built for a quick build and not for speed: on two cores that is minutes less.
cargo_tool() {
    command -v "$1" >/dev/null || [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/$1" ] && return
    say "installing $1 $2"
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_PROFILE_RELEASE_DEBUG=false RUSTC_WRAPPER='' RUSTFLAGS='' \
        cargo install --quiet --locked "$1" --version "$2"
}

command -v cargo >/dev/null || {
    echo 'setup: there is no cargo; install Rust from https://rustup.rs first' >&2
    exit 1
}

packages gcc g++ libc6-dev make
case $mode in
    --run) ;;
    --test)
        packages iproute2 util-linux mount procps python3 python3-venv transmission-daemon aria2 rtorrent ffmpeg flac mpv
        # The order of writes and syncs is read from its trace.
        packages strace
        # A reverse proxy with TLS in front of the HTTP server; only the programs are used, no service.
        packages nginx-light openssl curl
        # Other servers of files; only the programs are used, no service.
        packages apache2-bin lighttpd
        # Proxies through which everything goes; only the programs are used, no service.
        packages microsocks tinyproxy
        # Another implementation of hash trees.
        packages rhash
        # A file system that makes no holes, by its driver in user space.
        packages exfat-fuse exfatprogs
        # The C interface: its tests are built with CMake, checked with Valgrind and the sanitizers.
        packages cmake pkg-config valgrind binutils
        # The players on it, and what their plug-ins are built with (bindings/).
        packages libavformat-dev libavcodec-dev libavutil-dev libswscale-dev libmpv-dev vlc-bin vlc-plugin-base \
            libvlc-dev libvlccore-dev libgstreamer1.0-dev gstreamer1.0-tools gstreamer1.0-plugins-base \
            gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav
        # Players of RTSP: ffplay needs a display and keys, GStreamer's jumps a script; tshark counts what is lost.
        packages xvfb xauth xdotool python3-gi gir1.2-gstreamer-1.0 tshark
        # A browser, and what drives it.
        packages chromium chromium-driver
        if ! .venv/bin/python -c "import libtorrent as lt; assert lt.__version__.startswith('$LIBTORRENT')" 2>/dev/null; then
            say "installing libtorrent $LIBTORRENT for Python in .venv"
            python3 -m venv --clear .venv
            .venv/bin/pip install --quiet --disable-pip-version-check "libtorrent==$LIBTORRENT"
        fi
        # Asks nobody where all is there already.
        say 'the tools of the Python tests'
        .venv/bin/pip install --quiet --disable-pip-version-check -r tests/python/requirements.txt
        if command -v rustup >/dev/null; then
            cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
            cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
        fi
        cargo_tool cargo-nextest 0.9.151
        cargo_tool cargo-deny 0.20.2
        cargo_tool cargo-fuzz 0.13.2
        ;;
    *)
        echo "setup: unknown mode $mode; use --run or --test" >&2
        exit 2
        ;;
esac
say 'the machine is ready'
